"""Intervals: a paired bootstrap over prompts, Wilson's for a share. Pure numpy; the seed is an argument.

Both models answer the same prompts, so a resample draws whole prompts and keeps each prompt's two values
together: what varies between prompts and is common to both models cancels out. Intervals are percentile
intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raylign.bootstrap import Floats, resampled_sums


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


def relative_change(
    base_N: Sequence[float], aligned_N: Sequence[float], *, resamples: int, seed: int, confidence: float = 0.95
) -> Estimate:
    """Change of the total in percent, 100 · (Σ aligned − Σ base) / Σ base, with its interval.

    Args:
        base_N: the base model's value for each of N prompts.
        aligned_N: the aligned model's values, in the same order of prompts.
        resamples: number of bootstrap resamples.

    Raises:
        ValueError: the two differ in length, or a value is not finite.
    """
    base, aligned = _paired(base_N, aligned_N)
    if base.size == 0:
        return Estimate(None, reason="there are no prompts")
    if base.sum() == 0:
        return Estimate(None, reason="the base values sum to zero")
    value = _percent(base.sum(), aligned.sum())
    if base.size == 1:
        return Estimate(value, reason="one prompt gives no interval")
    totals = resampled_sums(np.stack([base, aligned]), resamples, seed)
    if np.any(totals[0] == 0):
        return Estimate(value, reason="the base values of some resamples sum to zero")
    return _with_interval(value, 100.0 * (totals[1] - totals[0]) / totals[0], confidence)


def mean_difference(
    base_N: Sequence[float], aligned_N: Sequence[float], *, resamples: int, seed: int, confidence: float = 0.95
) -> Estimate:
    """Mean of aligned − base over N prompts, in the values' own unit, with its interval.

    Raises:
        ValueError: the two differ in length, or a value is not finite.
    """
    base, aligned = _paired(base_N, aligned_N)
    if base.size == 0:
        return Estimate(None, reason="there are no prompts")
    difference = aligned - base
    value = float(difference.mean())
    if base.size == 1:
        return Estimate(value, reason="one prompt gives no interval")
    totals = resampled_sums(difference[np.newaxis, :], resamples, seed)
    return _with_interval(value, totals[0] / base.size, confidence)


def wilson_interval(hits: float, count: int) -> list[float] | None:
    """95% interval of a share, hits / count, from 0 to 1; None for a count of 0.

    Wilson's score interval (Newcombe, Statistics in Medicine 17, 1998, method 3): it keeps its width where a
    small sample shows 0% or 100%, as a reward accuracy often does.
    """
    if count == 0:
        return None
    z = 1.959963984540054  # 97.5% point of the standard normal distribution
    share = hits / count
    centre = share + z**2 / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    scale = 1 + z**2 / count
    return [max(0.0, float((centre - half) / scale)), min(1.0, float((centre + half) / scale))]


def _paired(base_N: Sequence[float], aligned_N: Sequence[float]) -> tuple[Floats, Floats]:
    base, aligned = np.asarray(base_N, dtype=np.float64), np.asarray(aligned_N, dtype=np.float64)
    if base.shape != aligned.shape or base.ndim != 1:
        raise ValueError(f"paired values must be two equally long lists, not {base.shape} and {aligned.shape}")
    if not (np.isfinite(base).all() and np.isfinite(aligned).all()):
        raise ValueError("paired values must be finite")
    return base, aligned


def _percent(base: float, aligned: float) -> float:
    return float(100.0 * (aligned - base) / base)


def _with_interval(value: float, resampled: Floats, confidence: float) -> Estimate:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high))
