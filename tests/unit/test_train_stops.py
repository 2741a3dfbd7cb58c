"""When a run ends before its last step: it no longer gets better, or its numbers say that it must not go on."""

import json
import math

import pytest

from raylign.train.early_stop import is_measured, should_stop
from raylign.train.guard import FEWEST, Guard
from raylign.train.tokens import TokenPair

LOSSES = {"a": 0.9, "b": 1.2}


@pytest.mark.parametrize(
    ("values", "patience", "stops"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.5], 1, True),  # no better is no improvement
        ([0.5, 0.4, 0.6], 1, False),
        ([0.5, 0.4, 0.45], 2, True),
        ([0.5, 0.4, 0.51], 2, False),
        ([0.1, 0.9, 0.2, 0.3, 0.4], 3, True),  # climbing again, but three evaluations below the best
        ([0.1, 0.9, 0.2, 0.3, 0.4], 4, False),
    ],
)
def test_a_run_stops_after_so_many_evaluations_without_a_new_best(
    values: list[float], patience: int, stops: bool
) -> None:
    assert should_stop(values, "reward_margin", patience) is stops
    assert should_stop([-value for value in values], "loss", patience) is stops


def test_single_answers_have_no_accuracy_and_those_of_one_kind_no_margin() -> None:
    both, chosen, rejected = (TokenPair("a", (1,), *answers) for answers in (((2,), (3,)), ((2,), ()), ((), (3,))))
    metrics = ("loss", "reward_accuracy", "reward_margin")
    assert [is_measured(metric, [both]) for metric in metrics] == [True, True, True]
    assert [is_measured(metric, [chosen, rejected]) for metric in metrics] == [True, False, True]
    assert [is_measured(metric, [chosen]) for metric in metrics] == [True, False, False]
    assert not any(is_measured(metric, []) for metric in metrics)


def steady(guard: Guard, norm: float = 1.0, steps: int = FEWEST) -> None:
    for step in range(steps):
        assert guard.look_at_gradient(step + 1, norm, LOSSES) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_laid_to_its_own_pair(bad: float) -> None:
    offence = Guard(100.0, 1.0, []).look_at_losses(7, {"a": 0.9, "b": bad})
    assert offence is not None
    assert (offence.step, [pair["id"] for pair in offence.pairs]) == (7, ["b"])
    json.dumps(offence.as_json(), allow_nan=False)
    assert Guard(100.0, 1.0, []).look_at_losses(7, LOSSES) is None


def test_a_gradient_that_explodes_names_the_pairs_of_its_step_the_highest_loss_first() -> None:
    guard = Guard(100.0, 1.0, [])
    steady(guard)
    assert guard.look_at_gradient(11, 99.0, LOSSES) is None
    offence = guard.look_at_gradient(12, 101.0, LOSSES)
    assert offence is not None
    assert [pair["id"] for pair in offence.pairs] == ["b", "a"]
    assert "101" in offence.reason


def test_a_gradient_that_is_no_number_stops_from_the_first_step_on() -> None:
    assert Guard(None, 1.0, []).look_at_gradient(1, math.nan, LOSSES) is not None


def test_small_gradients_may_jump_as_far_as_clipping_lets_them() -> None:
    """Where a loss saturates, norms fall to nothing and one hard pair is thousands of times above them."""
    guard = Guard(100.0, 1.0, [])
    steady(guard, norm=1e-5)
    assert guard.look_at_gradient(11, 0.9, LOSSES) is None


def test_a_few_first_steps_are_no_measure() -> None:
    guard = Guard(100.0, 1.0, [])
    steady(guard, norm=0.1, steps=FEWEST - 1)
    assert guard.look_at_gradient(FEWEST, 1000.0, LOSSES) is None


def test_a_run_that_goes_on_still_knows_what_is_usual() -> None:
    norms: list[float] = []
    steady(Guard(100.0, 1.0, norms))
    again = Guard(100.0, 1.0, json.loads(json.dumps(norms)))
    assert again.look_at_gradient(11, 101.0, LOSSES) is not None


def test_the_rule_can_be_switched_off() -> None:
    guard = Guard(None, 1.0, [])
    steady(guard)
    assert guard.look_at_gradient(11, 1e9, LOSSES) is None
