"""A sample stands for all prompts: totals by hand, and intervals that hold what they promise."""

import math

import numpy as np
import pytest

from raylign.bootstrap import student_quantile, widened_tail
from raylign.plan.totals import (
    Frame,
    Range,
    count_interval,
    estimate_total,
    interval,
)


def test_a_total_is_the_mean_times_the_prompts() -> None:
    """(10 + 20 + 30) / 3 × 30 = 600."""
    total = estimate_total([10, 20, 30], [0, 0, 0], Frame(30, 0))
    assert total.value == pytest.approx(600)
    assert total.measured == 60
    assert not total.by_size


def test_a_quantity_that_follows_the_size_is_scaled_by_the_known_sizes() -> None:
    """Half a token a byte, and 9,000 bytes in all: 4,500 tokens, where the mean of the sample (200) says 6,000."""
    total = estimate_total([100, 200, 300], [200, 400, 600], Frame(30, 9_000))
    assert total.by_size
    assert total.value == pytest.approx(4500)
    exact = interval(total, Frame(30, 9_000), 0)
    assert (exact.low, exact.high) == pytest.approx((4500, 4500))


def test_a_quantity_that_does_not_follow_the_size_is_not() -> None:
    values, sizes = [100, 300, 100, 300], [200, 210, 220, 190]
    assert not estimate_total(values, sizes, Frame(40, 9_000)).by_size


def test_prices_of_two_totals_add_up() -> None:
    """(2 + 4) / 2 × 10 × $0.5 + (1 + 3) / 2 × 10 × $2 = $15 + $40."""
    frame = Frame(10, 0)
    both = estimate_total([2, 4], [0, 0], frame).times(0.5) + estimate_total([1, 3], [0, 0], frame).times(2.0)
    assert both.value == pytest.approx(55)
    assert both.measured == pytest.approx(11)


def test_when_every_prompt_was_measured_nothing_is_uncertain() -> None:
    frame = Frame(3, 0)
    assert interval(estimate_total([1, 5, 9], [0, 0, 0], frame), frame, 0) == Range(15, 15, 15)


def test_one_row_gives_no_upper_bound() -> None:
    frame = Frame(3, 0)
    found = interval(estimate_total([5], [0], frame), frame, 0)
    assert (found.value, found.low, found.high) == (15, 5, math.inf)


def test_a_total_is_never_less_than_what_was_measured() -> None:
    values = [1000.0] + [0.0] * 15
    frame = Frame(20, 0)
    assert interval(estimate_total(values, [0] * 16, frame), frame, 0).low >= 1000


def test_a_single_dear_row_among_cheap_ones_makes_no_narrow_interval() -> None:
    """The bootstrap-t alone would end at the estimate: every resample that has the dear row at all is above it."""
    frame = Frame(1000, 0)
    found = interval(estimate_total([1.0] * 15 + [100.0], [0] * 16, frame), frame, 0)
    assert found.high > 1.5 * found.value


def test_rows_that_cannot_stand_for_the_prompts_are_refused() -> None:
    for values, sizes, prompts in (([], [], 3), ([1.0, 2.0], [1.0], 3), ([1.0, 2.0], [1.0, 1.0], 1)):
        with pytest.raises(ValueError, match="cannot stand for"):
            estimate_total(values, sizes, Frame(prompts, 10))


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.7062), (2, 4.3027), (7, 2.3646), (15, 2.1314), (30, 2.0423), (10_000, 1.9602)]
)
def test_students_quantiles_agree_with_the_printed_table(freedom: int, expected: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(expected, abs=2e-4)


def test_tails_are_widened_for_few_rows_and_not_for_many() -> None:
    """16 rows: Φ(−2.1314 · √(16/15)) = Φ(−2.2013) = 1.386%."""
    assert widened_tail(16) == pytest.approx(0.01386, abs=1e-5)
    assert widened_tail(100_000) == pytest.approx(0.025, abs=1e-4)


def test_sixteen_requests_that_all_went_well_leave_room_for_some_that_do_not() -> None:
    """Wilson: 0 of 16 leaves up to 1.96² / (16 + 1.96²) = 19.36% of the other 84."""
    found = count_interval([1] * 16, Frame(100, 0), 0)
    assert found.value == 100
    assert found.high == pytest.approx(100 + 84 * 0.19361, abs=0.01)
    assert found.low == pytest.approx(100 - 84 * 0.19361, abs=0.01)


def coverage(spread: float, sample: int, follows_size: bool) -> float:
    """Share of 500 seeded trials whose interval holds the true total of 2,000 lognormal token counts."""
    held = 0
    for trial in range(500):
        generator = np.random.default_rng(trial)
        sizes = generator.lognormal(6.0, spread, 2000)
        noise = generator.lognormal(0.0, 0.2 if follows_size else spread, 2000)
        tokens = 0.3 * sizes * noise if follows_size else 300.0 * noise
        chosen = generator.choice(2000, sample, replace=False)
        frame = Frame(2000, int(sizes.sum()))
        found = interval(estimate_total(tokens[chosen], sizes[chosen], frame), frame, trial)
        held += found.low <= tokens.sum() <= found.high
    return held / 500


@pytest.mark.parametrize(
    ("spread", "sample", "follows_size"),
    [(0.2, 16, False), (0.5, 16, False), (0.5, 16, True), (0.8, 16, False), (0.8, 64, True), (1.0, 32, False)],
)
def test_intervals_hold_the_true_total_as_often_as_they_say(spread: float, sample: int, follows_size: bool) -> None:
    assert 0.90 <= coverage(spread, sample, follows_size) <= 0.98


def test_known_sizes_narrow_the_interval() -> None:
    generator = np.random.default_rng(0)
    sizes = generator.lognormal(6.0, 0.8, 16)
    tokens = 0.3 * sizes * generator.lognormal(0.0, 0.1, 16)
    frame = Frame(1000, int(1000 * sizes.mean()))
    by_size = interval(estimate_total(tokens, sizes, frame), frame, 0)
    plain = interval(estimate_total(tokens, [0] * 16, frame), frame, 0)
    assert by_size.high - by_size.low < 0.4 * (plain.high - plain.low)
