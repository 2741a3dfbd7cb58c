"""Gradients of micro-batches add up to what one batch would give, rounded once."""

import torch

from raylign.train.accumulation import Accumulation


def test_many_small_gradients_are_not_lost_beside_a_large_one() -> None:
    weight = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    passes, last = [256.0] + [0.25] * 64, [False]
    accumulation = Accumulation({"weight": weight}, lambda: last[0])
    for _ in range(2):  # a second step begins from nothing
        for number, scale in enumerate(passes, start=1):
            last[0] = number == len(passes)
            (weight * scale).sum().backward()
        assert accumulation.left_behind() == []
        assert weight.grad is not None
        assert weight.grad.tolist() == [272.0] * 3  # bf16 alone stays at 256
        weight.grad = None


def test_a_tied_weight_counts_all_its_uses() -> None:
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    Accumulation({"weight": weight}, lambda: True)
    (weight * 2 + weight * 3).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [5.0, 5.0]


def test_a_gradient_that_the_last_micro_batch_leaves_behind_is_told() -> None:
    weights = {name: torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16)) for name in ("one", "expert")}
    last = [False]
    accumulation = Accumulation(weights, lambda: last[0])
    (weights["one"] + weights["expert"]).sum().backward()
    last[0] = True
    weights["one"].sum().backward()
    assert accumulation.left_behind() == ["expert"]
