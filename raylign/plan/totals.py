"""Totals over all prompts from the rows of a random sample, each with its 95% interval. Pure numpy.

A total is estimated as the number of prompts times the sample's mean. Where the sizes of all requests are known and
the quantity follows them, the ratio estimator takes their place: (Σ quantity / Σ size) over the sample, times the
known size of all (Cochran, Sampling Techniques, 3rd edition, 1977, chapter 6).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raylign.bootstrap import Floats, cautious_interval
from raylign.evaluate.statistics import wilson_interval

RESAMPLES = 4000
_SPREAD_LEFT = 0.5
"""The ratio estimator is used where it leaves at most this share of the variance: with few rows, a smaller gain may
be chance."""


@dataclass(frozen=True)
class Range:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Range":
        """All three times a factor that is not negative."""
        return Range(self.value * factor, self.low * factor, self.high * factor)

    def plus(self, other: "Range | float") -> "Range":
        """The sum; of two ranges, with the bounds of both reached together."""
        if isinstance(other, Range):
            return Range(self.value + other.value, self.low + other.low, self.high + other.high)
        return Range(self.value + other, self.low + other, self.high + other)

    def or_more(self, other: "Range") -> "Range":
        """The larger of two figures, and of their bounds."""
        return Range(max(self.value, other.value), max(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class Frame:
    """What is known of all prompts of the run before anything is sent."""

    prompts: int
    request_bytes: int
    """UTF-8 bytes of all requests to the reviser, drafts apart."""


@dataclass(frozen=True)
class Total:
    """An estimated total and how far each sampled row pulls it; totals of the same sample add up."""

    value: float
    pulls_n: Floats
    """Each of n sampled rows' distance from what the estimator expects of it; their mean is 0."""
    measured: float
    """What the sampled rows took: the total is no less."""
    by_size: bool = False
    """The ratio estimator was used."""

    def __add__(self, other: "Total") -> "Total":
        return Total(
            self.value + other.value,
            self.pulls_n + other.pulls_n,
            self.measured + other.measured,
            self.by_size and other.by_size,
        )

    def times(self, factor: float) -> "Total":
        """The total of the quantity in another unit."""
        return replace(self, value=self.value * factor, pulls_n=self.pulls_n * factor, measured=self.measured * factor)


def estimate_total(values_n: Sequence[float], sizes_n: Sequence[float], frame: Frame) -> Total:
    """The total over all prompts of a quantity that n sampled rows took.

    Args:
        values_n: The quantity of each sampled row.
        sizes_n: Bytes of each sampled row's request, of which `frame` has the sum over all prompts.

    Raises:
        ValueError: there are no rows, more than prompts, or the two lists differ in length.
    """
    values, sizes = np.asarray(values_n, np.float64), np.asarray(sizes_n, np.float64)
    if not 0 < values.size <= frame.prompts or values.shape != sizes.shape:
        raise ValueError(f"{values.size} values and {sizes.size} sizes cannot stand for {frame.prompts} prompts")
    mean = values.mean()
    plain = Total(frame.prompts * float(mean), values - mean, float(values.sum()))
    if sizes.sum() == 0:
        return plain
    ratio = values.sum() / sizes.sum()
    left = values - ratio * sizes
    if not plain.pulls_n.any() or left.var() > _SPREAD_LEFT * plain.pulls_n.var():
        return plain
    weight = frame.request_bytes / frame.prompts / sizes.mean()
    return Total(float(ratio * frame.request_bytes), left * weight, plain.measured, by_size=True)


def interval(total: Total, frame: Frame, seed: int) -> Range:
    """The total with its interval by `cautious_interval` over the sampled rows.

    Rows drawn without replacement leave only the others uncertain: √(1 − n/N).
    """
    count = total.pulls_n.size
    if count == frame.prompts:
        return Range(total.value, total.value, total.value)
    if count < 2:
        return Range(total.value, total.measured, math.inf)
    low, high = cautious_interval(total.pulls_n, np.ones(count), RESAMPLES, seed) or (-math.inf, math.inf)
    scale = frame.prompts * math.sqrt(1 - count / frame.prompts)
    return Range(total.value, max(total.measured, total.value + low * scale), total.value + high * scale)


def count_interval(counts_n: Sequence[int], frame: Frame, seed: int) -> Range:
    """Requests over all prompts, where nearly every row takes exactly one.

    A bootstrap of sixteen rows that all took one request knows no other; sixteen rows do not say as much. So the
    interval also reaches as far as Wilson's interval of the share of rows that take more, and of those that take none.
    """
    total = estimate_total(counts_n, [0] * len(counts_n), frame)
    drawn = interval(total, frame, seed)
    rest, count = frame.prompts - len(counts_n), len(counts_n)
    more = [value - 1 for value in counts_n if value > 1]
    none = sum(value == 0 for value in counts_n)
    extra = max(1.0, sum(more) / len(more)) if more else 1.0
    most, fewest = (wilson_interval(hits, count) or [0.0, 1.0] for hits in (len(more), none))
    return Range(
        drawn.value,
        min(drawn.low, total.measured + rest * (1 - fewest[1])),
        max(drawn.high, total.measured + rest * (1 + extra * most[1])),
    )
