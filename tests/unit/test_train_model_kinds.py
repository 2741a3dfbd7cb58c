"""Kinds of models: which share prompts, which are packed or padded and why, and that each keeps its own numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from raylign.config import load_config
from raylign.errors import ModelError
from raylign.train.attention import SEGMENTED
from raylign.train.head import check_projection
from raylign.train.layout import Choice, choose_layout
from raylign.train.model_loading import check_finite_weights, check_rope, load_model
from raylign.train.packing import Layout, pack
from raylign.train.policy import Policy
from raylign.train.tokens import TokenPair

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,  # large, so that a token seen wrongly shows in the numbers
    "pad_token_id": 0,
}
EXPERTS: dict[str, Any] = {
    "num_local_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}
PAIRS = [
    TokenPair("a", (5, 6, 7, 8, 9, 10), (11, 12, 13), (14, 15, 16, 17, 18, 19, 20)),
    TokenPair("b", (5, 6, 7, 31), (32, 33, 34, 35, 36), (37,)),
]
STATE_SPACE: dict[str, Any] = {"mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 4}
HYBRIDS: dict[str, dict[str, Any]] = {
    "Jamba": STATE_SPACE | {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 3, "num_experts": 2},
    "Bamba": STATE_SPACE | {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "attn_layer_indices": [1]},
    "Lfm2": {"layer_types": ["conv", "full_attention"], "block_multiple_of": 16},
}


def tiny(kind: str, **changes: Any) -> Any:
    """A random model of an architecture; settings that it does not know are left to its configuration class."""
    torch.manual_seed(0)
    named = f"{kind}Text" if kind == "Gemma3" else kind
    settings = getattr(transformers, f"{named}Config")(**{**SIZES, **changes})
    return getattr(transformers, f"{kind}ForCausalLM")(settings).float().eval()


def plain_logps(model: Any, pair: TokenPair) -> list[float]:
    """Log-probabilities of both answers from the model's own logits, each sequence alone in its row."""
    found = []
    for answer in (pair.chosen_ids, pair.rejected_ids):
        row = torch.tensor([[*pair.prompt_ids, *answer]])
        with torch.no_grad():
            logps = torch.log_softmax(model(input_ids=row, use_cache=False).logits[0].float(), dim=-1)
        start = len(pair.prompt_ids) - 1
        found.append(float(logps[start:-1].gather(1, torch.tensor(answer)[:, None]).sum()))
    return found


LONGEST = max(pair.length for pair in PAIRS)


def policy_in(layout: Layout, model: Any) -> Policy:
    """The model as training has it in a layout."""
    if layout != "padded":
        model.set_attn_implementation(SEGMENTED)
    return Policy(model)


def scored(model: Any) -> None:
    """Each answer has the log-probability that the model itself gives it, in the layout that is chosen."""
    expected = torch.tensor([plain_logps(model, pair) for pair in PAIRS])
    layout = choose_layout(model, LONGEST).layout
    with torch.no_grad():
        found = torch.stack(policy_in(layout, model)(pack(PAIRS, layout)), dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def gradients(policy: Policy, layout: Layout) -> dict[str, torch.Tensor]:
    """Of a loss that every answer pulls at differently, by parameter."""
    policy.zero_grad()
    chosen_B, rejected_B = policy(pack(PAIRS, layout))
    (torch.tensor([0.3, -1.0]) * (chosen_B - 0.5 * rejected_B)).sum().backward()
    return {name: value.grad for name, value in policy.named_parameters() if value.grad is not None}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Llama", {}),
        ("Qwen2", {}),
        ("Qwen3", {}),
        ("Mistral", {"sliding_window": None}),
        ("Mixtral", EXPERTS | {"router_aux_loss_coef": 0.0, "sliding_window": None}),
        ("Granite", {"logits_scaling": 4.0}),
        ("Cohere", {"logit_scale": 0.25}),
    ],
)
def test_models_that_attend_to_everything_share_prompts_and_keep_their_numbers(kind: str, changes: Any) -> None:
    model = tiny(kind, **changes)
    assert choose_layout(model, LONGEST) == Choice("shared")
    check_projection(model)
    scored(model)


BY_TURNS = {"layer_types": ["sliding_attention", "full_attention"]}
PACKED: list[tuple[str, dict[str, Any], str]] = [
    ("Mixtral", EXPERTS, "auxiliary loss (coefficient 0.001)"),
    ("Qwen3Moe", EXPERTS, "auxiliary loss"),
    ("Qwen2Moe", EXPERTS, "auxiliary loss"),
    ("Mistral", {"sliding_window": LONGEST}, "sliding window (13 tokens"),
    ("Mixtral", EXPERTS | {"sliding_window": LONGEST}, "sliding window (13 tokens"),
    ("Qwen2", {"use_sliding_window": True, "sliding_window": LONGEST, "max_window_layers": 1}, "sliding window"),
    ("Cohere2", BY_TURNS | {"sliding_window": LONGEST}, "sliding window"),
    ("Gemma3", BY_TURNS | {"sliding_window": LONGEST, "query_pre_attn_scalar": 8}, "sliding window"),
]


@pytest.mark.parametrize(("kind", "changes", "reason"), PACKED)
def test_models_that_must_see_whole_sequences_are_packed_with_the_reason_and_keep_their_numbers(
    kind: str, changes: Any, reason: str
) -> None:
    model = tiny(kind, **changes)
    choice = choose_layout(model, LONGEST)
    assert choice.layout == "packed"
    assert reason in choice.reason
    check_projection(model)
    scored(model)


@pytest.mark.parametrize(("kind", "changes", "reason"), PACKED)
def test_packed_gradients_are_those_of_padded_rows(kind: str, changes: Any, reason: str) -> None:
    expected = gradients(policy_in("padded", tiny(kind, **changes)), "padded")
    found = gradients(policy_in("packed", tiny(kind, **changes)), "packed")
    assert found.keys() == expected.keys()
    size = torch.cat([value.flatten() for value in expected.values()]).norm()
    for name, value in expected.items():
        assert (found[name] - value).norm() <= 1e-5 * size, name  # false of a gradient that is no number, too


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("Mistral", {"sliding_window": LONGEST - 1}, "window of 12 tokens, and a sequence may have 13"),
        ("Mixtral", EXPERTS | {"sliding_window": 4}, "window of 4 tokens, and a sequence may have 13"),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0}, "sliding"),
        ("Gemma3", BY_TURNS | {"sliding_window": 4, "query_pre_attn_scalar": 8}, "window of 4 tokens"),
        ("Gemma2", {"sliding_window": 4, "final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}, "sliding"),
        ("Gemma2", {"sliding_window": LONGEST, "query_pre_attn_scalar": 8}, "caps its scores"),
        ("GptOss", EXPERTS | {"sliding_window": LONGEST}, "sinks"),
        *((kind, changes, "hybrid") for kind, changes in HYBRIDS.items()),
    ],
)
def test_models_whose_rows_hold_one_sequence_are_padded_with_the_reason_and_keep_their_numbers(
    kind: str, changes: Any, reason: str
) -> None:
    model = tiny(kind, **changes)
    choice = choose_layout(model, LONGEST)
    assert choice.layout == "padded"
    assert reason in choice.reason
    check_projection(model)
    scored(model)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layer_types": ["chunked_attention", "full_attention"]}, "layers of type chunked_attention"),
        ({"layer_types": ["sliding_attention", "full_attention"]}, "does not say how long"),
        ({"use_bidirectional_attention": True}, "looks ahead"),
    ],
)
def test_settings_that_let_no_row_hold_two_sequences(changes: dict[str, Any], reason: str) -> None:
    model = tiny("Llama")
    for name, value in changes.items():
        setattr(model.config, name, value)
    choice = choose_layout(model, LONGEST)
    assert choice.layout == "padded"
    assert reason in choice.reason


@pytest.mark.parametrize("kind", ["flex", "sdpa"])
def test_a_sequence_longer_than_the_window_is_refused_and_not_attended_in_full(kind: str) -> None:
    """In a row, where the last token of an answer has no place."""
    for window, fits in ((LONGEST - 1, True), (LONGEST - 2, False)):
        policy = Policy(tiny("Mistral", sliding_window=window), attention=kind)
        policy.model.set_attn_implementation(SEGMENTED)
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            if fits:
                policy(pack(PAIRS, "packed"))
                continue
            with pytest.raises(ModelError, match="window of 11 tokens, and a sequence has 12"):
                policy(pack(PAIRS, "packed"))


def test_a_model_is_loaded_with_the_attention_of_its_layout(tmp_path: Path) -> None:
    tiny("Mistral", sliding_window=64).save_pretrained(tmp_path)
    for longest, attention in ((64, SEGMENTED), (65, "sdpa")):
        config = load_config(overrides=[f"train.max_length={longest}", "train.dtype=fp32"])
        assert load_model(str(tmp_path), config).config._attn_implementation == attention


def test_a_head_that_does_something_unknown_is_refused_before_training() -> None:
    model = tiny("Llama")
    plain = model.forward

    def biased(*given: Any, **named: Any) -> Any:
        output = plain(*given, **named)
        output.logits = output.logits + torch.arange(97)
        return output

    model.forward = biased
    with pytest.raises(ModelError, match="type llama makes its logits"):
        check_projection(model)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(bad: float) -> None:
    model = tiny("Llama")
    check_finite_weights(model, "tiny")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = bad
    with pytest.raises(ModelError, match=r"model tiny .* model\.layers\.1\.mlp\.up_proj\.weight;") as caught:
        check_finite_weights(model, "tiny")
    assert "another checkpoint" in caught.value.cure


def test_sequences_that_would_change_all_positions_of_their_batch_are_refused() -> None:
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    lengths = {"max_position_embeddings": 512, "original_max_position_embeddings": 64}
    settings = transformers.Phi3Config(**SIZES, **lengths, rope_parameters=rope)
    check_rope(settings, 64)
    with pytest.raises(ModelError, match="LongRoPE changes for a whole batch beyond 64"):
        check_rope(settings, 65)
    check_rope(transformers.LlamaConfig(**SIZES), 10_000)
