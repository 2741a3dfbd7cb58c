"""Simulated evaluations whose true figure is known, and how often an interval holds it.

A share at one fixed truth is covered more or less often by the accident of which counts there are (Brown, Cai and
DasGupta, Interval Estimation for a Binomial Proportion, Statistical Science 16, 2001), so truths are drawn from a
range.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raylign.evaluate.length_controlled import length_controlled
from raylign.evaluate.statistics import Estimate, mean_difference, mean_score, relative_change

Floats = NDArray[np.float64]
Interval = Callable[[int, int], Estimate]
"""Of resamples and seed."""
Draw = Callable[[np.random.Generator], tuple[Interval, float]]
"""One evaluation: its interval, and the truth."""


@dataclass(frozen=True)
class Coverage:
    """Out of simulated evaluations."""

    held: float
    """Share of intervals that hold the truth."""
    above: float
    """Share of intervals that lie above it."""
    below: float
    width: float
    """Mean over the intervals."""


def coverage(draw: Draw, simulations: int, resamples: int, seed: int = 0) -> Coverage:
    """How often the intervals of so many simulated evaluations hold the truth."""
    generator = np.random.default_rng(seed)
    held, above, below, width = 0, 0, 0, 0.0
    for simulation in range(simulations):
        interval, truth = draw(generator)
        low, high = interval(resamples, simulation).interval or (math.nan, math.nan)
        above += bool(low > truth + 1e-12)
        below += bool(high < truth - 1e-12)
        held += bool(low - 1e-12 <= truth <= high + 1e-12)
        width += high - low
    return Coverage(held / simulations, above / simulations, below / simulations, width / simulations)


def share(count: int, low: float, high: float) -> Draw:
    """A model's share of rows that it passes."""

    def draw(generator: np.random.Generator) -> tuple[Interval, float]:
        truth = generator.uniform(low, high)
        return _score((generator.random(count) < truth) * 1.0), truth

    return draw


def paired_shares(count: int, low: float, high: float) -> Draw:
    """Two models' shares on the same rows; each wins alone on a share of rows from this range."""

    def draw(generator: np.random.Generator) -> tuple[Interval, float]:
        gains, losses = generator.uniform(low, high, 2)
        chance = generator.random(count)
        common = generator.random(count) < 0.5
        gained, lost = chance < gains, chance > 1 - losses
        aligned = np.where(gained, 1.0, np.where(lost, 0.0, common))
        base = np.where(gained, 0.0, np.where(lost, 1.0, common))
        return _difference(base, aligned), gains - losses

    return draw


def win_rate(count: int) -> Draw:
    """Wins, ties and losses in any proportion."""

    def draw(generator: np.random.Generator) -> tuple[Interval, float]:
        wins, ties, _ = generator.dirichlet([1, 1, 1])
        chance = generator.random(count)
        return _score(np.where(chance < wins, 1.0, np.where(chance < wins + ties, 0.5, 0.0))), wins + ties / 2

    return draw


def lengths(count: int, spread: float) -> Draw:
    """The mean of lognormal token counts, of this spread of their logarithm: 0.5 is usual, 1 is extreme."""

    def draw(generator: np.random.Generator) -> tuple[Interval, float]:
        return _score(100 * generator.lognormal(0, spread, count)), 100 * np.exp(spread**2 / 2)

    return draw


def change_of_lengths(count: int) -> Draw:
    """A change by −40 percent, each prompt's own factor varying."""

    def draw(generator: np.random.Generator) -> tuple[Interval, float]:
        base = generator.gamma(4.0, 30.0, count)
        aligned = 0.6 * base * generator.lognormal(-0.02, 0.2, count)  # mean factor 1
        return lambda resamples, seed: relative_change(list(base), list(aligned), resamples=resamples, seed=seed), -40.0

    return draw


def margins(count: int) -> Draw:
    """The mean of normal values."""

    def draw(generator: np.random.Generator) -> tuple[Interval, float]:
        return _score(generator.normal(0.3, 1.0, count)), 0.3

    return draw


def clustered_margins(clusters: int, equal: bool) -> Draw:
    """Normal values of which a fifth of the variance is the cluster's; about 10 rows a cluster."""

    def draw(generator: np.random.Generator) -> tuple[Interval, float]:
        which = _clusters(generator, clusters, equal)
        return _score(generator.normal(generator.normal(0.0, 0.5, clusters)[which], 1.0), which), 0.0

    return draw


def clustered_share(clusters: int, equal: bool, truth: float) -> Draw:
    """Rows of 0 and 1 whose chance varies by cluster: an intra-cluster correlation of 0.1."""

    def draw(generator: np.random.Generator) -> tuple[Interval, float]:
        which = _clusters(generator, clusters, equal)
        chance = generator.beta(truth * 9, (1 - truth) * 9, clusters)
        return _score((generator.random(which.size) < chance[which]) * 1.0, which), truth

    return draw


def length_controlled_rate(count: int) -> Draw:
    """Preferences by the logistic model itself, in both orders' mean: the judge likes the model, and likes length."""

    def draw(generator: np.random.Generator) -> tuple[Interval, float]:
        difference = generator.normal(30.0, 80.0, count)
        # Standardised by what the sample's deviation estimates, 80, so that the truth is the model's own constant.
        chance = 1 / (1 + np.exp(-(0.5 + 1.0 * np.tanh(difference / 80.0))))
        preference = generator.binomial(1, chance, count) * 1.0

        def interval(resamples: int, seed: int) -> Estimate:
            length = 200 + difference
            return length_controlled(
                list(preference), list(length), [200.0] * count, resamples=resamples, seed=seed
            ).win_rate

        return interval, float(1 / (1 + np.exp(-0.5)))

    return draw


def _clusters(generator: np.random.Generator, count: int, equal: bool) -> NDArray[np.int64]:
    sizes = np.full(count, 10) if equal else np.maximum(1, generator.geometric(0.1, count))
    return np.repeat(np.arange(count), sizes)


def _score(values: Floats, which: NDArray[np.int64] | None = None) -> Interval:
    clusters = None if which is None else which.tolist()
    return lambda resamples, seed: mean_score(list(values), clusters_N=clusters, resamples=resamples, seed=seed)


def _difference(base: Floats, aligned: Floats) -> Interval:
    return lambda resamples, seed: mean_difference(list(base), list(aligned), resamples=resamples, seed=seed)
