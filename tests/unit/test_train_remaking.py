"""Activations that are made again: not in memory between the passes, and the same gradients to the bit."""

import gc
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.multiprocessing.reductions import StorageWeakRef
from transformers import LlamaConfig, LlamaForCausalLM

from raylign.train.lean import make_lean
from raylign.train.remaking import can_remake, remaking

WIDTH = 16


def half(given: torch.Tensor) -> Callable[[], torch.Tensor]:
    known = given.detach()
    return lambda: known / 2


def behind_a_layer(wanted: bool) -> tuple[bool, torch.Tensor]:
    """Whether a linear layer's input was let go before the backward pass, and the gradient of its weight."""
    torch.manual_seed(0)
    given, weight = torch.randn(8, WIDTH, requires_grad=True), torch.randn(4, WIDTH, requires_grad=True)
    with remaking(wanted):
        halved = can_remake(given / 2, half(given))
        out = F.linear(halved, weight)
    memory = StorageWeakRef(halved.untyped_storage())
    del halved
    gc.collect()
    let_go = bool(memory.expired())
    out.square().sum().backward()
    assert weight.grad is not None
    return let_go, weight.grad


def test_what_can_be_made_again_is_let_go() -> None:
    usual, expected = behind_a_layer(wanted=False)
    let_go, found = behind_a_layer(wanted=True)
    assert (usual, let_go) == (False, True)
    assert torch.equal(found, expected)


class Into(torch.autograd.Function):
    """given · factor, laid into memory of the caller's choice."""

    @staticmethod
    def forward(ctx: Any, given: torch.Tensor, factor: float, memory: torch.Tensor) -> torch.Tensor:
        ctx.factor = factor
        return torch.empty(0).set_(memory.copy_(given * factor))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradients[0] * ctx.factor, None, None


def test_another_tensor_at_the_same_address_is_itself() -> None:
    """Memory that was let go is given to the next tensor of its size, which no recipe is for."""
    given, weight = torch.randn(8, WIDTH, requires_grad=True), torch.randn(4, WIDTH, requires_grad=True)
    memory = torch.zeros(8, WIDTH)
    with remaking():
        halved = can_remake(Into.apply(given, 0.5, memory), half(given))
        address = halved.untyped_storage().data_ptr()
        del halved
        other = Into.apply(given, 3.0, memory)
        assert other.untyped_storage().data_ptr() == address
        F.linear(other, weight).sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, (3 * given.detach()).sum(0).expand(4, -1))


def test_a_recipe_that_nobody_takes_holds_on_to_nothing() -> None:
    """Activation checkpointing keeps tensors in its own way; what they could be made from must not stay for them."""
    with remaking():
        given = torch.randn(8, WIDTH, requires_grad=True) * 1
        halved = can_remake(given / 2, half(given))
        memory = StorageWeakRef(given.untyped_storage())
        del halved, given
        gc.collect()
        assert memory.expired()


def test_a_part_of_a_tensor_is_kept() -> None:
    given, weight = torch.randn(8, WIDTH, requires_grad=True), torch.randn(4, WIDTH // 2, requires_grad=True)
    with remaking():
        halved = can_remake(given / 2, half(given))
        F.linear(halved[:, : WIDTH // 2], weight).sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, halved.detach()[:, : WIDTH // 2].sum(0).expand(4, -1))


def test_a_model_has_the_same_gradients_to_the_bit() -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2,
        )
    )  # fmt: skip
    make_lean(model)
    ids, found = torch.arange(24)[None] % 64, []
    for dtype in (torch.float32, torch.bfloat16):
        for wanted in (False, True):
            model.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16), remaking(wanted):
                loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            found.append(torch.cat([value.grad.flatten() for value in model.parameters()]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[2], found[3])
