"""Scores and paired differences with 95% intervals, over prompts or clusters of them. Pure; the seed is an argument.

Both models answer the same prompts, so a resample draws whole prompts and keeps each prompt's two values together: what
varies between prompts and is common to both models cancels out. Where prompts share a source, whole clusters are drawn.
How the intervals are made is said in `raylign.evaluate.intervals`, and how often they hold the truth is measured by
`tests/benchmarks/coverage.py`.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from raylign.bootstrap import Floats
from raylign.evaluate.intervals import (
    Units,
    Z,
    are_grades,
    bootstrap_interval,
    effective_rows,
    graded_interval,
    units_of,
)

_Z_POWER = 0.8416212335729143
"""80% point."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; what cannot be computed is None, and `reason` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @property
    def interval(self) -> list[float] | None:
        """[low, high], or None where there is no interval."""
        return None if self.low is None or self.high is None else [self.low, self.high]


def mean_score(
    values_N: Sequence[float], *, resamples: int, seed: int, clusters_N: Sequence[Hashable] | None = None
) -> Estimate:
    """The mean of a model's values with its interval; for values of 0 and 1 it is Wilson's of a share.

    Args:
        clusters_N: what each row shares a source with; None where each row stands for itself.

    Raises:
        ValueError: a value is not finite, or there are not as many clusters as values.
    """
    values, _ = _paired(values_N, values_N)
    if values.size == 0:
        return Estimate(None, reason="there are no rows")
    units = units_of(values, None, clusters_N)
    value = float(values.mean())
    if np.isin(values, (0.0, 1.0)).all() and (units.are_rows or units.count > 1):
        rows = values.size if units.are_rows else effective_rows(units)
        low, high = wilson_interval(value * rows, rows) or (0.0, 1.0)
        return Estimate(value, low, high)
    ends = (0.0, 1.0) if are_grades(values) else None
    return _estimate(value, units, ends, resamples, seed)


def mean_difference(
    base_N: Sequence[float],
    aligned_N: Sequence[float],
    *,
    resamples: int,
    seed: int,
    clusters_N: Sequence[Hashable] | None = None,
) -> Estimate:
    """Mean of aligned − base over N prompts, in the values' own unit, with its interval.

    Args:
        base_N: the base model's value for each of N prompts.
        aligned_N: the aligned model's values, in the same order of prompts.
        resamples: number of bootstrap resamples.
        clusters_N: what each prompt shares a source with; None where each stands for itself.

    Raises:
        ValueError: the lists differ in length, or a value is not finite.
    """
    base, aligned = _paired(base_N, aligned_N)
    if base.size == 0:
        return Estimate(None, reason="there are no prompts")
    difference = aligned - base
    ends = _ends(base) if are_grades(base, aligned) else None
    return _estimate(float(difference.mean()), units_of(difference, None, clusters_N), ends, resamples, seed)


def relative_change(
    base_N: Sequence[float],
    aligned_N: Sequence[float],
    *,
    resamples: int,
    seed: int,
    clusters_N: Sequence[Hashable] | None = None,
) -> Estimate:
    """Change of the total in percent, 100 · (Σ aligned − Σ base) / Σ base, with its interval.

    Args and Raises: as for `mean_difference`.
    """
    base, aligned = _paired(base_N, aligned_N)
    if base.size == 0:
        return Estimate(None, reason="there are no prompts")
    if base.sum() == 0:
        return Estimate(None, reason="the base values sum to zero")
    value = float(100.0 * (aligned.sum() - base.sum()) / base.sum())
    units = units_of(100.0 * (aligned - base), base, clusters_N)
    return _estimate(value, units, None, resamples, seed)


def wilson_interval(hits: float, count: float) -> list[float] | None:
    """95% interval of a share, hits / count, from 0 to 1; None for a count of 0.

    Wilson's score interval (Newcombe, Statistics in Medicine 17, 1998, method 3): it keeps its width where a
    small sample shows 0% or 100%, as a reward accuracy often does.
    """
    if count == 0:
        return None
    share = hits / count
    centre = share + Z**2 / (2 * count)
    half = Z * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    return [max(0.0, float((centre - half) / scale)), min(1.0, float((centre + half) / scale))]


def rows_to_decide(distance: float, interval: Sequence[float], rows: int) -> int | None:
    """About how many rows would tell a difference from what it is compared with, four times in five.

    n = ((z₀.₉₇₅ + z₀.₈) · σ / δ)², the sample size for a paired comparison of means at 95% confidence and 80% power
    (Miller, Adding Error Bars to Evals, arXiv 2411.00640, the section on power analysis), with the distance δ that was
    found and the spread σ that the interval's half width shows, clustering included. None where the distance is 0.

    Args:
        distance: from the figure to what it is compared with.
        interval: the figure's 95% interval.
        rows: how many rows it is of.
    """
    if distance == 0:
        return None
    spread = (interval[1] - interval[0]) / 2 / Z * math.sqrt(rows)
    return math.ceil(((Z + _Z_POWER) * spread / distance) ** 2)


def decides_at(estimate: Estimate, rows: int, bound: float = 0.0) -> str:
    """A note where the interval holds `bound`, so that nothing is decided: about how many rows would; else empty."""
    interval = estimate.interval
    if interval is None or estimate.value is None or not interval[0] <= bound <= interval[1]:
        return ""
    needed = rows_to_decide(estimate.value - bound, interval, rows)
    said = f"the interval holds {bound:g}, so {rows} rows do not decide"
    if needed is None or needed > 1000 * rows:
        return f"{said}, and at a difference this small no affordable number would"
    # Two digits, upwards: it is a rule of thumb. At the very edge of the interval the formula may ask for fewer.
    scale = 10 ** max(0, len(str(needed)) - 2)
    return f"{said}; at this effect and spread about {max(rows + 1, math.ceil(needed / scale) * scale):,} would"


def _estimate(value: float, units: Units, ends: tuple[float, float] | None, resamples: int, seed: int) -> Estimate:
    if units.count < 2:
        unit = "prompt" if units.are_rows else "cluster"
        return Estimate(value, reason=f"one {unit} gives no interval")
    if ends is not None:
        return Estimate(value, *graded_interval(units, ends, resamples, seed))
    found = bootstrap_interval(units, resamples, seed)
    return Estimate(value, *found) if found else Estimate(value, reason="the base values of some resamples sum to zero")


def _ends(base: Floats) -> tuple[float, float]:
    """How far apart two grades can be; a baseline that is the same by definition, as of a win rate, leaves less."""
    fixed = float(base[0])
    return (-fixed, 1.0 - fixed) if 0.0 < fixed < 1.0 and np.ptp(base) == 0 else (-1.0, 1.0)


def _paired(base_N: Sequence[float], aligned_N: Sequence[float]) -> tuple[Floats, Floats]:
    base, aligned = np.asarray(base_N, dtype=np.float64), np.asarray(aligned_N, dtype=np.float64)
    if base.shape != aligned.shape or base.ndim != 1:
        raise ValueError(f"paired values must be two equally long lists, not {base.shape} and {aligned.shape}")
    if not (np.isfinite(base).all() and np.isfinite(aligned).all()):
        raise ValueError("paired values must be finite")
    return base, aligned
