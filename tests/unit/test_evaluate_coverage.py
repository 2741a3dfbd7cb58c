"""Intervals hold the truth about as often as they say. The full table is `tests/benchmarks/coverage.py`'s."""

import interval_cases as cases
import pytest

_CASES = {
    "a share near 0 of 20 rows": cases.share(20, 0.01, 0.1),
    "a share of 50 rows": cases.share(50, 0.1, 0.5),
    "paired shares of 20 rows": cases.paired_shares(20, 0.1, 0.4),
    "a win rate of 20 rows": cases.win_rate(20),
    "20 lengths": cases.lengths(20, 0.5),
    "the change of 20 lengths": cases.change_of_lengths(20),
    "20 margins": cases.margins(20),
    "margins in 8 equal clusters": cases.clustered_margins(8, True),
    "margins in 12 unequal clusters": cases.clustered_margins(12, False),
    "a share in 12 unequal clusters": cases.clustered_share(12, False, 0.2),
}


@pytest.mark.parametrize("name", _CASES)
def test_intervals_hold_the_truth_about_as_often_as_they_say(name: str) -> None:
    """Of 600 simulations 95% are held with a standard error of 0.9 points."""
    found = cases.coverage(_CASES[name], simulations=600, resamples=600)
    assert 0.925 <= found.held <= 0.985


def test_a_length_controlled_win_rate_holds_the_truth_about_as_often_as_it_says() -> None:
    found = cases.coverage(cases.length_controlled_rate(50), simulations=200, resamples=300)
    assert 0.92 <= found.held <= 0.985


def test_the_measure_sees_an_interval_that_is_too_narrow() -> None:
    """A normal approximation of a share near 0 has no width where nothing was seen."""

    def draw(generator: object) -> tuple[cases.Interval, float]:
        interval, truth = cases.share(20, 0.01, 0.1)(generator)  # type: ignore[arg-type]

        def narrow(resamples: int, seed: int) -> cases.Estimate:
            value = interval(resamples, seed).value or 0.0
            half = 1.96 * (value * (1 - value) / 20) ** 0.5
            return cases.Estimate(value, value - half, value + half)

        return narrow, truth

    assert cases.coverage(draw, simulations=300, resamples=100).held < 0.8
