"""Batches in every layout against the same pairs one sequence at a time: same log-probabilities, same gradients."""

import copy
import random
from typing import Any, get_args

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from raylign.errors import ModelError
from raylign.train import attention, attention_plan
from raylign.train.attention import SEGMENTED, segmented_attention
from raylign.train.logprobs import Projection, token_logps
from raylign.train.packing import Layout, Segment, common_prefix, pack
from raylign.train.policy import Policy
from raylign.train.tokens import TokenPair

VOCABULARY = 97


def plainly(head: torch.nn.Module) -> Projection:
    """Logits as a head gives them, whatever the targets."""
    return lambda hidden, target: head(hidden)


def tiny_llama(**changes: object) -> LlamaForCausalLM:
    torch.manual_seed(0)
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,  # large, so that a token seen wrongly shows in the numbers
        **changes,
    }
    return LlamaForCausalLM(LlamaConfig(**settings)).float()


def random_pairs(seed: int = 0) -> list[TokenPair]:
    """Five pairs: a common beginning, a prompt that ends where another's begins to differ, answers of one token."""
    chance = random.Random(seed)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(chance.randrange(VOCABULARY) for _ in range(length))

    system = ids(6)
    lengths = [(4, 7, 12), (0, 1, 9), (9, 15, 1), (3, 2, 2), (1, 30, 8)]
    return [
        TokenPair(str(index), system + ids(prompt), ids(chosen), ids(rejected))
        for index, (prompt, chosen, rejected) in enumerate(lengths)
    ]


def logps_one_by_one(model: LlamaForCausalLM, pair: TokenPair, answer: tuple[int, ...]) -> torch.Tensor:
    """Log-probability of an answer from the model's full logits, a sequence alone in its row."""
    row = torch.tensor([[*pair.prompt_ids, *answer]])
    logps = torch.log_softmax(model(row).logits[0].float(), dim=-1)
    start = len(pair.prompt_ids) - 1
    return logps[start:-1].gather(1, torch.tensor(answer)[:, None]).sum()


def pulled(chosen_B: torch.Tensor, rejected_B: torch.Tensor) -> torch.Tensor:
    """A loss of up to five pairs in which every answer pulls differently."""
    weights = torch.tensor([0.3, -1.0, 2.0, 0.7, 1.1])[: len(chosen_B)]
    return (weights * (chosen_B - 0.5 * rejected_B)).sum()


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


@pytest.mark.parametrize("layout", get_args(Layout))
@pytest.mark.parametrize(
    "changes",
    [
        [],
        [(attention_plan, "MOST_QUERIES", 2)],
        [(attention, "PRODUCTS_ON", ()), (attention_plan, "PRODUCTS_ON", ())],
        [(attention_plan, "SMALL_SCORES", 0)],
        [(attention_plan, "SMALL_SCORES", 0), (attention_plan, "LARGEST_BIAS", 0)],
    ],
    ids=["cpu", "cut", "gpu", "long", "longest"],
)
def test_log_probabilities_and_gradients_equal_plain_forward_passes(
    layout: Layout, changes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever way attention is computed: as on a CPU, and in parts of segments, as on a GPU, as for segments too
    long for groups, and as for those too long for a mask."""
    for change in changes:
        monkeypatch.setattr(*change)
    plain, pairs = tiny_llama(), random_pairs()
    expected_chosen = torch.stack([logps_one_by_one(plain, pair, pair.chosen_ids) for pair in pairs])
    expected_rejected = torch.stack([logps_one_by_one(plain, pair, pair.rejected_ids) for pair in pairs])
    expected = gradients(plain, pulled(expected_chosen, expected_rejected))

    model = copy.deepcopy(plain)
    if layout != "padded":
        model.set_attn_implementation(SEGMENTED)
    policy = Policy(model)
    chosen_B, rejected_B = policy(pack(pairs, layout))
    assert chosen_B.dtype == torch.float32
    torch.testing.assert_close(chosen_B, expected_chosen, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rejected_B, expected_rejected, rtol=1e-5, atol=1e-5)
    found = gradients(policy, pulled(chosen_B, rejected_B))
    assert (found - expected).norm() / expected.norm() < 1e-5


@pytest.mark.parametrize("pairs", [random_pairs(), random_pairs(7)[:1]], ids=["five", "one"])
def test_flex_attention_sees_what_the_groups_see(pairs: list[TokenPair], monkeypatch: pytest.MonkeyPatch) -> None:
    """And so do its gradients, by torch's formula without a kernel: kernels have no backward pass on CPU."""
    monkeypatch.setattr("torch.nn.attention.flex_attention._validate_device", lambda *tensors: None)
    model = tiny_llama()
    model.set_attn_implementation(SEGMENTED)
    batch = pack(pairs, "shared")
    logps, pulls = {}, {}
    with torch.compiler.set_stance("force_eager"):
        for kind in ("flex", "sdpa"):
            policy = Policy(model, attention=kind)
            chosen_B, rejected_B = policy(batch)
            logps[kind] = torch.cat([chosen_B, rejected_B]).detach()
            pulls[kind] = gradients(policy, pulled(chosen_B, rejected_B))
    torch.testing.assert_close(logps["flex"], logps["sdpa"], rtol=1e-5, atol=1e-5)
    assert (pulls["flex"] - pulls["sdpa"]).norm() / pulls["sdpa"].norm() < 1e-5


def test_any_split_into_micro_batches_gives_the_same_gradient() -> None:
    model, pairs = tiny_llama(), random_pairs(1)
    model.set_attn_implementation(SEGMENTED)
    policy = Policy(model)

    def loss(part: list[TokenPair]) -> torch.Tensor:
        chosen_B, rejected_B = policy(pack(part, "shared"))
        return (chosen_B - rejected_B).sum() / len(pairs)

    whole = gradients(policy, loss(pairs))
    policy.zero_grad()
    for pair in pairs:
        loss([pair]).backward()
    parts = torch.cat([parameter.grad.flatten() for parameter in policy.parameters() if parameter.grad is not None])
    assert (parts - whole).norm() / whole.norm() < 1e-5


def test_activation_checkpointing_changes_nothing() -> None:
    model, pairs = tiny_llama(), random_pairs(2)
    model.set_attn_implementation(SEGMENTED)
    policy = Policy(model).train()
    plain = gradients(policy, policy(pack(pairs, "shared"))[0].sum())
    model.gradient_checkpointing_enable({"use_reentrant": False})
    again = gradients(policy, policy(pack(pairs, "shared"))[0].sum())
    assert (again - plain).norm() / plain.norm() < 1e-6


def test_prompts_are_computed_once_where_that_saves_enough() -> None:
    """Prompts 6 + (4, 0, 9, 3, 1) share their first 6 tokens, and both answers of a pair the rest, but for rests of 3
    and 1, which are not worth a segment; answers hold 19 + 10 + 16 + 4 + 38 = 87 tokens, the last of each of the ten
    has no place in the row."""
    batch = pack(random_pairs(), "shared")
    assert batch.token_ids_RT.shape == (1, 6 + (4 + 0 + 9 + 2 * 3 + 2 * 1) + 87 - 10)
    assert batch.target_N.numel() == 87


def test_packed_answers_have_their_own_copy_of_the_prompt_no_last_token_and_no_padding() -> None:
    pairs = [TokenPair("a", (1, 2, 3, 4), (5, 6), (7,)), TokenPair("b", (1, 2, 3, 4), (5,), ())]
    batch = pack(pairs, "packed")
    assert batch.token_ids_RT.tolist() == [[1, 2, 3, 4, 5, 1, 2, 3, 4, 1, 2, 3, 4]]
    assert batch.position_ids_RT.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1, 2, 3]]
    assert batch.segments == (Segment(0, 5, ()), Segment(5, 4, ()), Segment(9, 4, ()))
    assert batch.padding_RT is None
    assert batch.read_N.tolist() == [3, 4, 8, 12]
    assert batch.answer_N.tolist() == [0, 0, 1, 2]


def test_answers_that_have_too_little_in_common_lie_packed_in_the_shared_layout_too() -> None:
    pairs = [TokenPair("a", (1, 2, 3), (5, 6), (7, 8))]
    assert pack(pairs, "shared").segments == pack(pairs, "packed").segments


def test_positions_of_both_answers_go_on_from_the_prompt() -> None:
    system = (11, 12, 13, 14)
    pairs = [
        TokenPair("a", (*system, 1, 2, 3, 4), (5, 6), (7, 8)),
        TokenPair("b", (*system, 9, 9, 9, 9), (5,), (6, 7, 8)),
    ]
    batch = pack(pairs, "shared")
    assert batch.token_ids_RT.tolist() == [[*system, 1, 2, 3, 4, 5, 7, 9, 9, 9, 9, 6, 7]]
    assert batch.position_ids_RT.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 4, 5, 6, 7, 8, 9]]
    assert batch.read_N.tolist() == [7, 8, 7, 9, 13, 13, 14, 15]  # first tokens are read from the end of their prompt
    assert batch.target_N.tolist() == [5, 6, 7, 8, 5, 6, 7, 8]
    assert batch.answer_N.tolist() == [0, 0, 1, 1, 2, 3, 3, 3]


ALIKE = [
    TokenPair("a", (1, 2, 3), (4, 5, 6, 7, 8, 9), (4, 5, 6, 7, 9)),
    TokenPair("b", (1, 2, 3), (4, 5, 6, 7), (4, 5, 6, 7, 8, 9, 9)),  # one answer begins another
    TokenPair("c", (50, 51, 52, 53, 54), (60, 61), (70,)),
]


def test_what_answers_begin_with_is_computed_once_too() -> None:
    batch = pack(ALIKE, "shared")
    once = [1, 2, 3, 4, 5, 6]
    assert sorted(batch.token_ids_RT[0].tolist()) == sorted([*once, 7, 8, 7, 7, 8, 9, 50, 51, 52, 53, 54, 60])
    assert batch.target_N.numel() == 6 + 5 + 4 + 7 + 2 + 1  # and still counted for every answer


def test_answers_that_begin_alike_keep_their_log_probabilities_and_gradients() -> None:
    plain = tiny_llama()
    model = copy.deepcopy(plain)
    model.set_attn_implementation(SEGMENTED)
    policy = Policy(model)
    expected_B = torch.stack([logps_one_by_one(plain, pair, pair.chosen_ids) for pair in ALIKE])
    other_B = torch.stack([logps_one_by_one(plain, pair, pair.rejected_ids) for pair in ALIKE])
    chosen_B, rejected_B = policy(pack(ALIKE, "shared"))
    torch.testing.assert_close(chosen_B, expected_B, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rejected_B, other_B, rtol=1e-5, atol=1e-5)
    expected = gradients(plain, pulled(expected_B, other_B))
    found = gradients(policy, pulled(chosen_B, rejected_B))
    assert (found - expected).norm() / expected.norm() < 1e-5


def singles(pairs: list[TokenPair]) -> list[TokenPair]:
    """Every pair's two answers as rows of their own."""
    return [
        TokenPair(f"{pair.id} {side}", pair.prompt_ids, *answers)
        for pair in pairs
        for side, answers in (("chosen", (pair.chosen_ids, ())), ("rejected", ((), pair.rejected_ids)))
    ]


@pytest.mark.parametrize("layout", get_args(Layout))
def test_single_answers_have_the_log_probabilities_they_have_in_a_pair(layout: Layout) -> None:
    model, pairs = tiny_llama(), random_pairs(4)
    if layout != "padded":
        model.set_attn_implementation(SEGMENTED)
    policy = Policy(model)
    chosen_B, rejected_B = policy(pack(pairs, layout))
    chosen_S, rejected_S = policy(pack(singles(pairs), layout))
    torch.testing.assert_close(chosen_S[0::2], chosen_B, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rejected_S[1::2], rejected_B, rtol=1e-5, atol=1e-5)
    assert chosen_S[1::2].tolist() == rejected_S[0::2].tolist() == [0.0] * len(pairs)


def test_an_answer_that_is_not_given_takes_no_room() -> None:
    row = [TokenPair("a", (1, 2, 3), (), (6, 7))]
    for layout in get_args(Layout):
        assert pack(row, layout).token_ids_RT.tolist() == [[1, 2, 3, 6, 7] if layout == "padded" else [1, 2, 3, 6]]
        assert pack(row, layout).answer_N.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("sequences", "length"),
    [([(1, 2, 3), (1, 2, 4), (1, 2)], 2), ([(5,), (6,)], 0), ([(1, 2)], 2), ([(2, 1), (2, 9), (2, 5, 5)], 1)],
)
def test_common_prefix(sequences: list[tuple[int, ...]], length: int) -> None:
    assert common_prefix(sequences) == length


def test_chunked_log_probabilities_equal_the_whole() -> None:
    torch.manual_seed(3)
    head = torch.nn.Linear(16, 50)
    hidden = torch.randn(23, 16, requires_grad=True)
    target = torch.randint(50, (23,))
    weights = torch.randn(23)
    (torch.log_softmax(head(hidden), -1).gather(1, target[:, None]).squeeze(1) * weights).sum().backward()
    expected = [hidden.grad, head.weight.grad]
    for kept_tokens in (0, 12, 23):
        hidden.grad = head.weight.grad = None
        (token_logps(hidden, target, plainly(head), chunk_tokens=5, kept_tokens=kept_tokens) * weights).sum().backward()
        for found, wanted in zip([hidden.grad, head.weight.grad], expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_logits_are_never_held_for_more_than_one_chunk() -> None:
    seen: list[int] = []
    head = torch.nn.Linear(8, 40)
    head.register_forward_hook(lambda module, given, made: seen.append(made.shape[0]))
    hidden = torch.randn(30, 8, requires_grad=True)
    token_logps(hidden, torch.randint(40, (30,)), plainly(head), chunk_tokens=8).sum().backward()
    assert max(seen) == 8
    assert len(seen) == 8  # four chunks forward, and the same four again for the backward pass


def test_logits_are_kept_in_whole_chunks_as_far_as_they_may() -> None:
    seen: list[int] = []
    head = torch.nn.Linear(8, 40)
    head.register_forward_hook(lambda module, given, made: seen.append(made.shape[0]))
    hidden = torch.randn(30, 8, requires_grad=True)
    token_logps(hidden, torch.randint(40, (30,)), plainly(head), chunk_tokens=8, kept_tokens=17).sum().backward()
    assert len(seen) == 6, "two of the four chunks are kept, the other two projected again"


def test_a_vocabulary_is_swept_in_blocks_of_rows_that_give_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from raylign.train import logprobs

    torch.manual_seed(4)
    head, target = torch.nn.Linear(8, 40), torch.randint(40, (30,))
    hidden = torch.randn(30, 8, requires_grad=True)
    found = []
    for scores in (40, 7 * 40, 2**20):  # a row at a time, seven, all
        monkeypatch.setattr(logprobs, "_CACHED_SCORES", scores)
        hidden.grad = None
        logps = token_logps(hidden, target, plainly(head))
        logps.sum().backward()
        found.append((logps.detach(), hidden.grad))
    for logps, gradient in found[:2]:
        assert torch.equal(logps, found[2][0])
        assert torch.equal(gradient, found[2][1])


def test_a_large_vocabulary_does_not_bias_log_probabilities() -> None:
    """Adding up left to right loses what is small beside the sum: by 4e-6 a token, always upwards."""
    torch.manual_seed(0)
    logits, target = torch.randn(60, 50_000) * 4, torch.randint(50_000, (60,))
    found = token_logps(logits, target, plainly(torch.nn.Identity()))
    truth = torch.log_softmax(logits.double(), dim=-1).gather(1, target[:, None]).squeeze(1)
    assert float((found.double() - truth).mean().abs()) < 5e-7


def test_bf16_log_probabilities_are_nearer_to_the_truth_than_a_model_all_in_bf16() -> None:
    """The truth is fp32 on the same, rounded weights."""
    model, pairs = tiny_llama(initializer_range=0.05, num_hidden_layers=24).bfloat16(), random_pairs()
    exact = copy.deepcopy(model).float()
    answers = [(pair, answer) for pair in pairs for answer in (pair.chosen_ids, pair.rejected_ids)]
    with torch.no_grad():
        chosen_B, rejected_B = Policy(model)(pack(pairs, "padded"))
        ours_A = torch.stack([chosen_B, rejected_B], dim=1).flatten()
        plain_A = torch.stack([logps_one_by_one(model, pair, answer) for pair, answer in answers])
        truth_A = torch.stack([logps_one_by_one(exact, pair, answer) for pair, answer in answers])
    assert (ours_A - truth_A).norm() < 0.8 * (plain_A - truth_A).norm()


def test_a_mask_that_a_model_makes_itself_is_refused_and_not_left_out() -> None:
    heads = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ModelError, match="masks its attention itself"):
        segmented_attention(torch.nn.Identity(), heads, heads, heads, torch.ones(1, 1, 3, 3))
