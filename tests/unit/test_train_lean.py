"""Norms and gated layers that keep less: the same values and gradients, and only where they are the same layers."""

import copy

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from raylign.train.lean import make_lean

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8,
}  # fmt: skip


def tiny(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    made = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES)),
        "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES)),
    }[kind]()
    for name, weight in made.named_parameters():
        if "norm" in name:  # a norm's weights start at one, where much that is wrong looks right
            torch.nn.init.normal_(weight, mean=1.0, std=0.2)
    return made


def loss_and_gradients(model: torch.nn.Module, autocast: bool) -> tuple[float, torch.Tensor]:
    ids = torch.arange(24)[None] % 64
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return float(loss.detach()), torch.cat([value.grad.flatten() for value in model.parameters()])


@pytest.mark.parametrize(("kind", "replaced"), [("llama", 2 * 3 + 1), ("qwen3", 2 * 5 + 1), ("gemma2", 0)])
def test_layers_of_the_known_kind_are_replaced_and_no_others(kind: str, replaced: int) -> None:
    """A Llama has 2 norms and a gated layer a block, Qwen 3 norms queries and keys too; Gemma's multiply by 1 + w."""
    assert make_lean(tiny(kind)) == replaced


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma2"])
def test_nothing_changes_in_fp32(kind: str) -> None:
    plain = tiny(kind)
    lean = copy.deepcopy(plain)
    make_lean(lean)
    expected, found = (loss_and_gradients(model, autocast=False) for model in (plain, lean))
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    assert (found[1] - expected[1]).norm() / expected[1].norm() < 1e-6


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_under_autocast_it_is_no_further_from_fp32(kind: str) -> None:
    plain = tiny(kind)
    lean = copy.deepcopy(plain)
    make_lean(lean)
    truth = loss_and_gradients(plain, autocast=False)[1]
    errors = [(loss_and_gradients(model, autocast=True)[1] - truth).norm() / truth.norm() for model in (plain, lean)]
    assert errors[1] < 1.2 * errors[0]


def test_a_norm_of_an_unknown_formula_is_left_alone() -> None:
    model = tiny("llama")
    norm = model.model.norm
    norm.forward = lambda hidden: 2.0 * hidden
    assert make_lean(model) == 2 * 3
    assert float(norm(torch.ones(1))) == 2.0


def test_weights_keep_their_names() -> None:
    model = tiny("llama")
    before = list(model.state_dict())
    make_lean(model)
    assert list(model.state_dict()) == before
