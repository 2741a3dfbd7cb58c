"""Random resamples of rows: what the intervals of the evaluation and of a plan are made from. Pure numpy."""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TAIL = 0.025
"""Beyond each end of a 95% interval."""
_INDICES_AT_A_TIME = 2**22
"""Bounds memory: resamples are drawn in chunks of at most this many row indices (32 MiB)."""


def resampled_sums(values_KN: Floats, resamples: int, seed: int) -> Floats:
    """Sums of K quantities over each resample of the N rows, drawn with replacement: [K, resamples]."""
    chunks = [values_KN @ counts.T for counts in resampled_counts(values_KN.shape[1], resamples, seed)]
    return np.concatenate(chunks, axis=1)


def resampled_counts(count: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each of N rows is in each resample, in chunks: [resamples of the chunk, N]."""
    for indices in _index_chunks(count, resamples, seed):
        first_RN = np.arange(len(indices))[:, np.newaxis] * count
        counts = np.bincount((indices + first_RN).ravel(), minlength=indices.size)
        yield counts.reshape(indices.shape).astype(np.float64)


def cautious_interval(values_G: Floats, sizes_G: Floats, resamples: int, seed: int) -> tuple[float, float] | None:
    """95% interval of Σ values / Σ sizes over G ≥ 2 units: of two or three intervals, at each end the most cautious.

    Plain percentiles are too narrow for few rows, and more so for skewed ones, as token counts are. The remedies fail
    in different places: percentiles further out, where Student's distribution has its tails (`widened_tail`), miss the
    skew; the bootstrap-t (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5) sees it, and
    knows nothing where most rows are alike. Of extreme skew a small sample mostly lacks the tail, and its resamples
    lack it as well: of values from 0 up, such as lengths, Student's quantiles, corrected by Hall's transformation
    (`hall_quantile`), reach further. A resample's own error is that of a ratio (Cochran, Sampling Techniques, 1977,
    chapter 6).

    Returns:
        None where the sizes of some resamples sum to 0.
    """
    drawn = resampled_ratios(values_G, sizes_G, resamples, seed)
    if drawn is None:
        return None
    ratios, errors = drawn
    low, high = expanded_percentiles(ratios, values_G.size)
    ratio = float(values_G.sum() / sizes_G.sum())
    left = values_G - ratio * sizes_G
    error = float(_ratio_error(np.square(left).sum(), sizes_G.sum(), sizes_G.size))
    known = errors > 1e-9 * error  # a resample of equal rows has no error of its own to measure by
    if error > 0 and known.any():
        far, near = np.quantile((ratios[known] - ratio) / errors[known], [1 - TAIL, TAIL])
        # Other values are seldom so skewed, and would only have wider intervals; fewer than three show no skew.
        if values_G.min() >= 0 and left.size >= 3:
            reach, skew = student_quantile(1 - TAIL, left.size - 1), skewness(left)
            far = max(far, hall_quantile(reach, skew, left.size))
            near = min(near, hall_quantile(-reach, skew, left.size))
        low, high = min(low, ratio - float(far) * error), max(high, ratio - float(near) * error)
    return low, high


def hall_quantile(reach: float, skew: float, count: int) -> float:
    """Where (mean − truth) / error of `count` skewed values has the quantile that it has at `reach` without the skew.

    With γ the skewness, g(t) = t + γ·(t²/3 + 1/6)/√n + γ²·t³/(27·n) is nearly symmetric, and this is its inverse,
    3·√n/γ · (∛(1 + γ·(x/√n − γ/(6n))) − 1) (Hall, On the Removal of Skewness by Transformation, Journal of the Royal
    Statistical Society B 54, 1992).
    """
    if abs(skew) < 1e-6:  # the limit, which the formula reaches only as 0 / 0
        return reach
    root = math.cbrt(1 + skew * (reach / math.sqrt(count) - skew / (6 * count)))
    return 3 * math.sqrt(count) / skew * (root - 1)


def skewness(left_G: Floats) -> float:
    """Of at least three values about their mean, 0, that are not all 0, by unbiased second and third moments.

    Plain moments fall short where rows are few.
    """
    count = left_G.size
    plain = float((left_G**3).mean()) / math.sqrt(float(np.square(left_G).mean())) ** 3
    return plain * math.sqrt(count * (count - 1)) / (count - 2)


def resampled_ratios(values_G: Floats, sizes_G: Floats, resamples: int, seed: int) -> tuple[Floats, Floats] | None:
    """Σ values / Σ sizes of each resample of G units, and each one's own standard error; None where sizes sum to 0."""
    products = [values_G, sizes_G, values_G**2, values_G * sizes_G, sizes_G**2]
    value, size, value_2, both, size_2 = resampled_sums(np.stack(products), resamples, seed)
    if np.any(size == 0):
        return None
    ratio = value / size
    squares = np.maximum(value_2 - 2 * ratio * both + ratio**2 * size_2, 0.0)
    return ratio, _ratio_error(squares, size, values_G.size)


def expanded_percentiles(drawn: Floats, count: int) -> tuple[float, float]:
    """The ends of an interval from the figures of resamples of `count` rows."""
    tail = widened_tail(count)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def widened_tail(count: int) -> float:
    """The share of resamples beyond each end of a 95% interval from `count` rows: 2.5% for many rows, less for few.

    A resample's spread is that of rows with n and not n − 1 below it, and its tails are normal where Student's are due.
    Percentiles further out make up for both (Hesterberg, What Teachers Should Know About the Bootstrap, The American
    Statistician 69, 2015: the expanded percentile interval).
    """
    reach = student_quantile(1 - TAIL, count - 1) * math.sqrt(count / (count - 1))
    return NormalDist().cdf(-reach)


def student_quantile(share: float, freedom: int) -> float:
    """Student's quantile, exact for 1 and 2 degrees of freedom, otherwise by its expansion about the normal one.

    Abramowitz and Stegun, 1964, 26.7.5; within 0.2% for 3 degrees of freedom, and closer for more.
    """
    if freedom == 1:
        return math.tan(math.pi * (share - 0.5))
    if freedom == 2:
        return (2 * share - 1) / math.sqrt(2 * share * (1 - share))
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, start=1))


def _ratio_error(squares: Any, size: Any, count: int) -> Any:
    """Standard error of a ratio by the squares of its residuals and its sum of sizes, over `count` units."""
    return np.sqrt(squares * count / (count - 1)) / size


def _index_chunks(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    rows = max(1, _INDICES_AT_A_TIME // count)
    for start in range(0, resamples, rows):
        yield generator.integers(0, count, size=(min(rows, resamples - start), count))
