"""The 95% interval of a mean or ratio over independent units, rows or clusters of rows, by the bootstrap. Pure numpy.

Resamples draw whole units. Two kinds of values need two things, and `tests/benchmarks/coverage.py` shows what each is
worth:

- Shares and grades, that is few different values from 0 to 1: a sample that shows 0% or 100%, or no prompt on which two
  models differ, has no spread to resample. Two units are added before, one at either end of what is possible, as
  Bonett and Price add them to paired shares (Adjusted Wald Confidence Interval for a Difference of Binomial Proportions
  Based on Paired Data, Journal of Educational and Behavioral Statistics 37, 2012), who then take normal quantiles, so
  that percentiles of rows are plain ones. Of clustered rows an added unit weighs as much as the rows it takes to say
  what one independent row says, the design effect (Kish, Survey Sampling, 1965, section 8.2), and percentiles are taken
  as far out as few units need. A share by itself has Wilson's interval, of clusters over their `effective_rows`.
- All other values, such as lengths or log-probabilities, may be skewed: `raylign.bootstrap.cautious_interval`.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from raylign.bootstrap import TAIL, Floats, cautious_interval, expanded_percentiles, resampled_ratios, student_quantile

Z = 1.959963984540054
"""97.5% point of the standard normal distribution."""
_FEW = 11
"""Different values of a grade at most: tenths from 0 to 1."""


@dataclass(frozen=True)
class Units:
    """G units that are drawn as wholes; the figure is Σ values / Σ sizes."""

    values_G: Floats
    """Each unit's sum over its rows."""
    sizes_G: Floats
    """Each unit's rows, or its sum of what the values are relative to."""
    are_rows: bool
    """Each unit is one row."""
    row_variance: float
    """Of the values, rows taken as independent."""

    @property
    def count(self) -> int:
        """G."""
        return self.values_G.size


def units_of(values_N: Floats, sizes_N: Floats | None, clusters_N: Sequence[Hashable] | None) -> Units:
    """The units of N rows; each row has size 1 where no sizes are given, and is a unit where no clusters are.

    Raises:
        ValueError: there are not as many clusters as values.
    """
    sizes = np.ones_like(values_N) if sizes_N is None else sizes_N
    variance = float(values_N.var(ddof=1)) if values_N.size > 1 else 0.0
    if clusters_N is None:
        return Units(values_N, sizes, True, variance)
    if len(clusters_N) != values_N.size:
        raise ValueError(f"there are {len(clusters_N)} clusters for {values_N.size} values")
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters_N))}
    which_N = np.array([places[name] for name in clusters_N], dtype=np.int64)
    sums = [np.bincount(which_N, weights, len(places)).astype(np.float64) for weights in (values_N, sizes)]
    return Units(sums[0], sums[1], len(places) == values_N.size, variance)


def are_grades(*values: Floats) -> bool:
    """Whether values are shares or grades: from 0 to 1, and few different ones."""
    together = np.concatenate(values)
    return bool(((together >= 0) & (together <= 1)).all()) and np.unique(together).size <= _FEW


def bootstrap_interval(units: Units, resamples: int, seed: int) -> tuple[float, float] | None:
    """The interval of values without ends, over at least 2 units; None where the sizes of some resamples sum to 0."""
    return cautious_interval(units.values_G, units.sizes_G, resamples, seed)


def graded_interval(units: Units, ends: tuple[float, float], resamples: int, seed: int) -> tuple[float, float]:
    """The interval of grades, or of differences of grades, over at least 2 units.

    Args:
        ends: the lowest and the highest that a row's value can be.
    """
    weight = 1.0 if units.are_rows else _design_effect(units)
    values = np.append(units.values_G, [weight * end for end in ends])
    sizes = np.append(units.sizes_G, [weight, weight])
    drawn = resampled_ratios(values, sizes, resamples, seed)
    assert drawn is not None, "every unit has rows"
    plain = np.quantile(drawn[0], [TAIL, 1 - TAIL])
    low, high = plain.tolist() if units.are_rows else expanded_percentiles(drawn[0], values.size)
    value = float(units.values_G.sum() / units.sizes_G.sum())
    return max(ends[0], min(low, value)), min(ends[1], max(high, value))


def effective_rows(units: Units) -> float:
    """How many independent rows would say as much of a share of 0 and 1 as at least 2 clusters do; at most their rows.

    n* = p·(1 − p) / v · (z / t)², t of Student's distribution for G − 1 (Korn and Graubard, Confidence Intervals for
    Proportions with Small Expected Number of Positive Counts Estimated from Survey Data, Survey Methodology 24, 1998,
    section 2). The variance v is the jackknife's, (G − 1)/G · Σ (p without g − p)²: of clusters of different sizes
    others fall short (MacKinnon, Nielsen and Webb, Leverage, Influence, and the Jackknife in Clustered Regression
    Models, The Stata Journal 23, 2023). Of 0% or 100% it says nothing, and a cluster's rows are taken to say no more
    than one: (Σ m)² / Σ m² (Kish, section 8.2).
    """
    rows = float(units.sizes_G.sum())
    share = float(units.values_G.sum()) / rows
    if share in (0.0, 1.0):
        return rows**2 / float(np.square(units.sizes_G).sum())
    without_G = (units.values_G.sum() - units.values_G) / (rows - units.sizes_G)
    variance = float(np.square(without_G - share).sum()) * (units.count - 1) / units.count
    known = share * (1 - share) * (Z / student_quantile(1 - TAIL, units.count - 1)) ** 2
    return known / max(variance, known / rows)


def _design_effect(units: Units) -> float:
    """Rows that say together what one independent row says: from 1 to a cluster's mean size.

    Where nothing varies it is not known, and a cluster is taken to say no more than one row.
    """
    rows = units.sizes_G.sum()
    largest = float(rows / units.count)
    left = units.values_G - units.values_G.sum() / rows * units.sizes_G
    clustered, alone = float(left.var(ddof=1)) * units.count / rows**2, units.row_variance / rows
    return largest if clustered == 0 or alone == 0 else float(np.clip(clustered / alone, 1.0, largest))
