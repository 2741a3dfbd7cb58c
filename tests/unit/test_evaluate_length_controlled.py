"""The win rate at equal lengths: against scipy's optimiser, and what it does where the data leave it undetermined."""

import numpy as np
import pytest
from scipy import optimize, special

from raylign.evaluate.length_controlled import RIDGE, fit, length_controlled


def data(count: int, seed: int, values: tuple[float, ...] = (0.0, 0.5, 1.0)) -> tuple[np.ndarray, np.ndarray]:
    """Preferences that follow length, and the length differences."""
    generator = np.random.default_rng(seed)
    difference = generator.normal(40.0, 90.0, count)
    chance = 1 / (1 + np.exp(-(0.4 + 1.2 * np.tanh(difference / 90.0))))
    return np.array([generator.choice(values, p=_around(one, values)) for one in chance]), difference


def _around(mean: float, values: tuple[float, ...]) -> np.ndarray:
    weights = np.array([mean if value == 1 else 1 - mean if value == 0 else 0.3 for value in values])
    return weights / weights.sum()


def by_scipy(preference: np.ndarray, difference: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The minimum of the written-out objective, found by scipy without our derivatives' help."""
    mean = np.average(difference, weights=weights)
    deviation = np.sqrt((weights * (difference - mean) ** 2).sum() / (weights.sum() - 1))
    length = np.tanh(difference / deviation)

    def loss(terms: np.ndarray) -> float:
        score = terms[0] + terms[1] * length
        rows = preference * special.log_expit(score) + (1 - preference) * special.log_expit(-score)
        return float(-(weights * rows).sum() + RIDGE / 2 * (terms**2).sum())

    found = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-11, "fatol": 1e-13})
    return np.asarray(optimize.minimize(loss, found.x, method="BFGS", options={"gtol": 1e-9}).x)


@pytest.mark.parametrize(("count", "values"), [(15, (0.0, 1.0)), (60, (0.0, 0.5, 1.0)), (805, (0.0, 0.5, 1.0))])
def test_the_fit_equals_scipys(count: int, values: tuple[float, ...]) -> None:
    preference, difference = data(count, count, values)
    weights = np.random.default_rng(1).integers(0, 3, count).astype(float)
    ours = fit(preference, difference, np.stack([np.ones(count), weights]))
    for column, weighting in enumerate((np.ones(count), weights)):
        expected = by_scipy(preference, difference, weighting)
        assert 1 / (1 + np.exp(-ours[0, column])) == pytest.approx(1 / (1 + np.exp(-expected[0])), abs=1e-6)
        assert ours[:, column] == pytest.approx(expected, abs=2e-6)


def test_the_gradient_is_zero_where_the_fit_ends() -> None:
    """Σ(p − y) + λθ = 0 and Σ(p − y)·x + λφ = 0, by hand."""
    preference, difference = data(200, 3)
    theta, phi = fit(preference, difference, np.ones((1, 200)))[:, 0]
    length = np.tanh(difference / difference.std(ddof=1))
    left = 1 / (1 + np.exp(-(theta + phi * length))) - preference
    assert left.sum() + RIDGE * theta == pytest.approx(0, abs=1e-8)
    assert (left * length).sum() + RIDGE * phi == pytest.approx(0, abs=1e-8)


def test_a_model_that_wins_by_length_alone_has_no_advantage_at_equal_lengths() -> None:
    """It wins 70% and more because it writes longer; at equal lengths the judge has no preference."""
    generator = np.random.default_rng(0)
    difference = generator.normal(120.0, 100.0, 3000)
    preference = generator.binomial(1, 1 / (1 + np.exp(-2 * np.tanh(difference / 100.0)))).astype(float)
    found = length_controlled(preference.tolist(), (300 + difference).tolist(), [300.0] * 3000, resamples=200, seed=0)
    assert preference.mean() > 0.7
    assert found.win_rate.value == pytest.approx(0.5, abs=0.04)
    assert found.length_effect is not None
    assert found.length_effect > 1.5
    assert found.win_rate.low is not None
    assert found.win_rate.high is not None
    assert found.win_rate.low < 0.5 < found.win_rate.high
    assert "without AlpacaEval's term for instruction difficulty" in found.shown()["formula"]


def test_equal_lengths_give_the_plain_win_rate() -> None:
    found = length_controlled([1, 1, 0, 0.5] * 10, [50.0] * 40, [50.0] * 40, resamples=500, seed=0)
    assert found.win_rate.value == pytest.approx(0.625, abs=1e-3)
    assert found.length_effect is None
    assert "plain win rate" in found.note


@pytest.mark.parametrize("side", [0.0, 1.0])
def test_a_side_that_always_wins_is_finite_with_wilsons_interval(side: float) -> None:
    lengths = np.random.default_rng(0).normal(100, 20, 20).tolist()
    found = length_controlled([side] * 20, lengths, [90.0] * 20, resamples=500, seed=0)
    assert found.win_rate.value == pytest.approx(side, abs=0.01)
    assert found.win_rate.interval is not None
    assert found.win_rate.high - found.win_rate.low == pytest.approx(0.161, abs=0.005)  # type: ignore[operator]
    assert "on every row" in found.note


def test_lengths_that_separate_the_preferences_are_said_to() -> None:
    difference = [float(value) for value in range(-10, 11) if value]
    found = length_controlled([float(value > 0) for value in difference], difference, [0.0] * 20, resamples=500, seed=0)
    assert found.win_rate.value == pytest.approx(0.5, abs=0.01)
    assert all(np.isfinite(found.win_rate.interval or [np.nan]))
    assert "separate" in found.note


@pytest.mark.parametrize(
    ("preference", "model", "baseline", "words"),
    [
        ([1.0], [1.0, 2.0], [1.0], "equally long"),
        ([1.5], [1.0], [1.0], "from 0 to 1"),
        ([float("nan")], [1.0], [1.0], "from 0 to 1"),
        ([1.0], [float("inf")], [1.0], "finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    preference: list[float], model: list[float], baseline: list[float], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        length_controlled(preference, model, baseline, resamples=100, seed=0)


def test_too_little_has_no_interval_and_says_why() -> None:
    assert length_controlled([], [], [], resamples=100, seed=0).shown()["note"] == "there are no judged rows"
    one = length_controlled([0.5], [3.0], [1.0], resamples=100, seed=0)
    assert (one.win_rate.interval, one.win_rate.reason) == (None, "one row gives no interval")
