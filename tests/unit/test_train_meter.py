"""What a step costs and a run achieves: operations counted by hand, utilisation, imbalance."""

from functools import partial
from typing import get_args

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from raylign.train import flops, packing
from raylign.train.device import measure_flops_per_second
from raylign.train.flops import ModelSize, Work, model_size, training_flops, work_of, work_of_pair
from raylign.train.head import anchor_head
from raylign.train.lora import add_adapter
from raylign.train.meter import Load, Meter
from raylign.train.packing import Layout, pack
from raylign.train.tokens import TokenPair

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "vocab_size": 50}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
PAIRS = [TokenPair("a", (1, 2, 3, 4), (5, 6), (7,)), TokenPair("b", (1, 2, 9), (5,), (6, 7))]


def test_a_models_weights_are_counted_by_hand() -> None:
    """A layer: queries 16·32, keys and values 16·16 each, output 32·16, three of 16·32 in the MLP: 3,072.

    Heads of 8 are 32 wide together, in each of three layers. Norms and embeddings take no part in matrix products.
    """
    model = LlamaForCausalLM(LlamaConfig(**SMALL, **HEADS))
    assert model_size(model) == ModelSize(3 * 3072, 3 * 3072, 800, 800, 3 * 32)


def test_of_experts_only_the_active_ones_count() -> None:
    """Two of four experts: attention 1,536, router 4·16, experts 4·3·16·32 / 2, in each of three layers."""
    settings = MixtralConfig(**SMALL, **HEADS, num_local_experts=4, num_experts_per_tok=2)
    assert model_size(MixtralForCausalLM(settings)).body == 3 * (1536 + 64 + 3072)


def test_a_tied_head_counts_as_a_head() -> None:
    model = LlamaForCausalLM(LlamaConfig(**SMALL, **HEADS, tie_word_embeddings=True))
    assert model_size(model).head == 800


def test_frozen_weights_get_no_gradient_of_their_own() -> None:
    """10 tokens, 4 of them completions, 30 scores: body 6·100·10, head 6·20·4, attention 12·8·30 = 9,360 in all.

    Frozen: two operations a weight less, but for the 7 weights of an adapter.
    """
    work = Work(tokens=10, completions=4, scores=30)
    assert training_flops(ModelSize(100, 100, 20, 20, 8), work) == 6000 + 480 + 2880
    assert training_flops(ModelSize(107, 7, 20, 0, 8), work) == 4 * 107 * 10 + 2 * 7 * 10 + 4 * 20 * 4 + 2880


def test_an_adapter_is_counted_beside_the_weights_it_is_put_on() -> None:
    """Rank 2 on a query projection of 16 to 32: 2·16 + 2·32 weights in each of three layers."""
    pytest.importorskip("peft")
    from raylign.config.training import LoraConfig

    model = LlamaForCausalLM(LlamaConfig(**SMALL, **HEADS))
    add_adapter(model, LoraConfig(rank=2, targets=["q_proj"]))
    assert model_size(model) == ModelSize(3 * (3072 + 96), 3 * 96, 800, 0, 3 * 32)


@pytest.fixture
def shared_from_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are done by hand here, so beginnings are shorter than those that are worth a segment."""
    for module in (packing, flops):
        monkeypatch.setattr(module, "LEAST_SAVED", 1)


def test_work_by_hand(shared_from_one_token: None) -> None:
    """Prompt-shared: root 1 2, then 3 4 | 5 and 9 | 6 below it; no answer's last token is there.

    Scores: root 1+2; 3 4 see 2 before them: 4+3; 5 sees 4: 4+1; 9: 2+1; 6: 3+1.
    Packed: sequences of 5, 4, 3 and 4 tokens: 15+10+6+10 scores. Padded, with their last tokens: 21+15+10+15.
    """
    assert work_of(pack(PAIRS, "shared")) == Work(7, 6, 3 + 7 + 5 + 3 + 4)
    assert work_of(pack(PAIRS, "packed")) == Work(16, 6, 41)
    assert work_of(pack(PAIRS, "padded")) == Work(20, 6, 61)


@pytest.mark.parametrize("layout", get_args(Layout))
def test_the_work_of_pairs_adds_up_to_that_of_their_batch(layout: Layout, shared_from_one_token: None) -> None:
    known = 2 if layout == "shared" else 0  # the beginning that both prompts share is computed with the first
    pairs = [PAIRS[0], TokenPair("b", (1, 2, 9), (5, 6, 8), (5, 6, 7, 7))]  # and the one of both answers once
    parts = [work_of_pair(pairs[0], layout), work_of_pair(pairs[1], layout, known)]
    assert parts[0] + parts[1] == work_of(pack(pairs, layout))


def test_figures_of_a_run_by_hand() -> None:
    """Two steps of two workers: 300 and 100 tokens in 2 s, then 100 and 100 in 1 s; 600 tokens and 12 pairs in 3 s.

    Busiest 300 + 100 over mean 200 + 100. 60 operations in 3 s of two workers that could do 20 a second each: half.
    """
    meter = Meter()
    meter.add(8, [Load(300, 20.0, 2**30), Load(100, 20.0, 3 * 2**30)], 2.0)
    meter.add(4, [Load(100, 10.0, 2**30), Load(100, 10.0, 2**30)], 1.0)
    assert meter.figures(20.0) == pytest.approx(
        {
            "pairs_per_second": 4.0,
            "tokens_per_second": 200.0,
            "model_flops_utilisation": 0.5,
            "token_imbalance": 4 / 3,
            "peak_memory_gib": 3.0,
        }
    )


VOCABULARY = 1009  # no other dimension has this size


def pass_a_long_answer(tokens: int, anchored: bool, seen: torch.utils._python_dispatch.TorchDispatchMode) -> None:
    """Forward and backward of so many answer tokens under a watch, with activations recomputed."""
    from raylign.train.attention import SEGMENTED
    from raylign.train.policy import Policy

    small = SMALL | {"vocab_size": VOCABULARY, "num_hidden_layers": 1}
    settings = LlamaConfig(**small, num_attention_heads=1, head_dim=8, max_position_embeddings=2048)
    model = LlamaForCausalLM(settings)
    model.set_attn_implementation(SEGMENTED)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    if anchored:
        anchor_head(model)
    policy = Policy(model).train()
    answer = tuple(index % VOCABULARY for index in range(tokens // 2))
    with seen:
        chosen_B, rejected_B = policy(pack([TokenPair("a", (1, 2), answer, answer[::-1])], "shared"))
        (chosen_B - rejected_B).sum().backward()


def test_no_tensor_over_the_vocabulary_grows_with_the_length_of_an_answer() -> None:
    """Logits stay at one chunk of tokens where the head is only known as a module."""
    from raylign.train.logprobs import CHUNK_TOKENS

    def largest_logits(tokens: int) -> int:
        seen = _LargestOver(VOCABULARY)
        pass_a_long_answer(tokens, False, seen)
        return seen.rows

    assert largest_logits(512) == largest_logits(2048) == CHUNK_TOKENS


def test_no_block_of_logits_grows_with_the_length_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits stay at one block where the head is one plain matrix."""
    from raylign.train import head

    block = 2**17  # more than any other product of this model makes
    monkeypatch.setattr(head, "matrix_logps", partial(head.matrix_logps, block_logits=block))

    def largest_product(tokens: int) -> int:
        seen = _LargestProduct()
        pass_a_long_answer(tokens, True, seen)
        return seen.numbers

    assert largest_product(512) == largest_product(2048) == block


class _LargestOver(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the most rows of any [rows, vocabulary] tensor that an operation makes."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary, self.rows = vocabulary, 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):  # type: ignore[no-untyped-def]
        made = function(*arguments, **(named or {}))
        if isinstance(made, torch.Tensor) and made.dim() == 2 and made.shape[1] == self.vocabulary:
            self.rows = max(self.rows, made.shape[0])
        return made


class _LargestProduct(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the most numbers of any product of two matrices."""

    numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):  # type: ignore[no-untyped-def]
        made = function(*arguments, **(named or {}))
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            self.numbers = max(self.numbers, made.numel())
        return made


def test_measuring_the_device_draws_nothing_from_a_run() -> None:
    before = torch.get_rng_state()
    assert measure_flops_per_second(torch.device("cpu"), torch.float32) > 0
    assert torch.equal(torch.get_rng_state(), before)
