"""Kinds of models: which share prompts, which are padded and why, and that each gets its own log-probabilities."""

from typing import Any

import pytest
import torch
import transformers

from raylign.errors import ModelError
from raylign.train.attention import SEGMENTED
from raylign.train.head import check_projection
from raylign.train.model_loading import check_finite_weights, check_rope, why_not_shared
from raylign.train.packing import pack
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
    settings = getattr(transformers, f"{kind}Config")(**{**SIZES, **changes})
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


def scored(model: Any) -> list[list[float]]:
    shared = why_not_shared(model) is None
    expected = [plain_logps(model, pair) for pair in PAIRS]
    if shared:
        model.set_attn_implementation(SEGMENTED)
    with torch.no_grad():
        chosen_B, rejected_B = Policy(model)(pack(PAIRS, shared))
    found = torch.stack([chosen_B, rejected_B], dim=1)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-4)
    return expected


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
    assert why_not_shared(model) is None
    check_projection(model)
    scored(model)


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("Mistral", {"sliding_window": 4}, "sliding"),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0}, "sliding"),
        ("Gemma2", {"sliding_window": 4, "final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}, "sliding"),
        ("Mixtral", EXPERTS, "auxiliary loss (coefficient 0.001)"),
        ("Qwen3Moe", EXPERTS, "auxiliary loss"),
        *((kind, changes, "hybrid") for kind, changes in HYBRIDS.items()),
    ],
)
def test_models_that_cannot_share_are_padded_with_the_reason_and_keep_their_numbers(
    kind: str, changes: Any, reason: str
) -> None:
    model = tiny(kind, **changes)
    assert reason in (why_not_shared(model) or "")
    check_projection(model)
    scored(model)


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
    with pytest.raises(ModelError, match="LongRoPE changes for a whole batch beyond 64 tokens"):
        check_rope(settings, 65)
    check_rope(transformers.LlamaConfig(**SIZES), 10_000)
