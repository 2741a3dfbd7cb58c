"""The bootstrap against calculations that do not resample at random, and what it says where there is nothing to say."""

import itertools

import numpy as np
import pytest
from scipy import optimize, stats

from raylign.bootstrap import hall_quantile, resampled_counts, resampled_ratios
from raylign.evaluate.statistics import (
    Estimate,
    decides_at,
    mean_difference,
    mean_score,
    relative_change,
    rows_to_decide,
    wilson_interval,
)

BASE = [120.0, 80.0, 150.0, 95.0, 60.0]
ALIGNED = [60.0, 75.0, 70.0, 50.0, 66.0]


def test_change_by_hand() -> None:
    """(321 − 505) / 505 = −36.43 %, the change of the totals, not the mean of the five changes (−28.1 %)."""
    assert relative_change(BASE, ALIGNED, resamples=100, seed=0).value == pytest.approx(-36.4356, abs=1e-4)


def reference(values: list[float], method: str) -> list[float]:
    """scipy's bootstrap interval of the mean, of resamples of its own."""
    found = stats.bootstrap(
        (np.array(values),), np.mean, method=method, n_resamples=20_000, rng=np.random.default_rng(1), batch=2000
    )
    return [float(found.confidence_interval.low), float(found.confidence_interval.high)]


def test_percentiles_equal_those_of_scipy_on_the_same_resamples() -> None:
    """scipy.stats.bootstrap computes the mean of every resample; fed ours, it must find the same percentiles."""
    values = np.random.default_rng(8).gamma(2.0, 50.0, 30)
    ratios, errors = resampled_ratios(values, np.ones(30), 999, seed=5) or (np.array([]), np.array([]))
    drawn = np.concatenate(list(resampled_counts(30, 999, seed=5)))
    resamples = np.array([np.repeat(values, counts.astype(int)) for counts in drawn])
    assert ratios == pytest.approx(resamples.mean(axis=1), rel=1e-12)
    assert errors == pytest.approx(stats.sem(resamples, axis=1), rel=1e-9)
    given = iter(resamples)

    class Ours(np.random.Generator):
        """Draws the very rows of our resamples."""

        def integers(self, *arguments: object, **named: object) -> np.ndarray:
            order = {value: place for place, value in enumerate(values)}
            return np.array([[order[value] for value in next(given)] for _ in range(999)])

    found = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=999, batch=999, rng=Ours(np.random.PCG64(0))
    ).confidence_interval
    assert np.quantile(ratios, [0.025, 0.975]) == pytest.approx([found.low, found.high], rel=1e-6)


def test_the_bootstrap_t_part_equals_a_reference_of_a_skewed_mean() -> None:
    """Above, the interval of skewed values ends where the bootstrap-t does, which is computed here row by row."""
    values = np.random.default_rng(4).lognormal(0.0, 0.5, 25)
    found = mean_score(values.tolist(), resamples=4000, seed=3)
    drawn = np.concatenate(list(resampled_counts(25, 4000, seed=3)))
    resamples = np.array([np.repeat(values, counts.astype(int)) for counts in drawn])
    spread = resamples.std(axis=1, ddof=1) / 5
    ratios = (resamples.mean(axis=1) - values.mean()) / spread
    own = values.std(ddof=1) / 5
    assert found.high == pytest.approx(values.mean() - np.quantile(ratios, 0.025) * own, rel=1e-6)


def test_of_extreme_skew_the_interval_ends_where_halls_transformation_says() -> None:
    """Above, g of the standardised distance is Student's quantile; g is Hall's as he writes it, solved numerically."""
    values = np.random.default_rng(4).lognormal(0.0, 1.0, 25)
    skew, reach = stats.skew(values, bias=False), stats.t.ppf(0.025, 24)

    def transformed(t: float) -> float:
        return float(t + skew * (t**2 / 3 + 1 / 6) / 5 + skew**2 * t**3 / 27 / 25)

    distance = optimize.brentq(lambda t: transformed(t) - reach, -50.0, 0.0, xtol=1e-12)
    found = mean_score(values.tolist(), resamples=1000, seed=3)
    assert found.high == pytest.approx(values.mean() - distance * stats.sem(values), rel=1e-6)
    assert hall_quantile(2.0, 1e-5, 25) == pytest.approx(hall_quantile(2.0, 0.0, 25), rel=1e-5)


def test_for_many_rows_the_interval_is_scipys() -> None:
    values = np.random.default_rng(9).gamma(4.0, 30.0, 800).tolist()
    found = mean_score(values, resamples=20_000, seed=1)
    half = ((found.high or 0.0) - (found.low or 0.0)) / 2
    assert found.interval == pytest.approx(reference(values, "BCa"), abs=0.08 * half)


def test_change_interval_equals_the_exact_bootstrap() -> None:
    """All 5⁵ = 3,125 resamples of five prompts, enumerated: the interval reaches at least as far as their percentiles
    do where few rows put them, Φ(−2.776 · √(5/4)) = 0.096% from either end.
    """
    exact = []
    for draw in itertools.product(range(5), repeat=5):
        base = sum(BASE[index] for index in draw)
        exact.append(100.0 * (sum(ALIGNED[index] for index in draw) - base) / base)
    found = relative_change(BASE, ALIGNED, resamples=200_000, seed=1)
    low, high = np.percentile(exact, [0.096, 99.904])
    assert found.interval is not None
    assert found.interval[0] <= low + 0.5
    assert found.interval[1] >= high - 0.5


def test_shares_that_differ_on_no_prompt_still_have_an_interval() -> None:
    """Twenty equal outcomes do not prove equality: 0 ± z·√(2/22/22) = ±0.126 by Bonett and Price; resamples ±3/22."""
    found = mean_difference([1.0] * 20, [1.0] * 20, resamples=4000, seed=0)
    assert found.value == 0
    assert found.interval == pytest.approx([-0.13, 0.13], abs=0.03)


def test_paired_shares_are_close_to_bonett_and_price() -> None:
    """60 prompts, 12 won and 5 lost: p₁₂ = 13/62, p₂₁ = 6/62; difference 0.1129 ± 1.96·√((0.3065 − 0.0127)/62)."""
    base = [0.0] * 12 + [1.0] * 5 + [1.0] * 43
    aligned = [1.0] * 12 + [0.0] * 5 + [1.0] * 43
    found = mean_difference(base, aligned, resamples=20_000, seed=0)
    assert found.value == pytest.approx(7 / 60)
    assert found.interval == pytest.approx([-0.0220, 0.2478], abs=0.012)


def test_a_win_rate_over_a_fixed_half_cannot_leave_its_ends() -> None:
    found = mean_difference([0.5] * 12, [1.0] * 12, resamples=2000, seed=0)
    assert (found.value, found.high) == (0.5, 0.5)
    assert found.low is not None
    assert 0.2 < found.low < 0.5


def test_rows_of_one_source_count_as_one() -> None:
    """Forty copies of ten rows say what ten rows say: as clusters their interval is that of the ten, nearly."""
    values = np.random.default_rng(2).normal(1.0, 1.0, 10)
    copies, sources = np.repeat(values, 40).tolist(), np.repeat(np.arange(10), 40).tolist()
    ten = mean_score(values.tolist(), resamples=4000, seed=0)
    clustered = mean_score(copies, clusters_N=sources, resamples=4000, seed=0)
    blind = mean_score(copies, resamples=4000, seed=0)
    assert clustered.interval == pytest.approx(ten.interval, rel=1e-6)
    assert ten.high is not None
    assert ten.low is not None
    assert blind.high is not None
    assert blind.low is not None
    assert blind.high - blind.low < 0.3 * (ten.high - ten.low)


def test_a_share_of_clusters_is_wilsons_over_the_rows_that_the_jackknife_leaves() -> None:
    """Both ends solve (p − x)² = t²·(v / p(1 − p))·x·(1 − x), v by leaving out each of six unequal clusters in turn.

    In equal clusters v is the textbook's, the variance of the clusters' shares over their number.
    """
    sources = np.repeat(np.arange(6), [3, 5, 8, 12, 20, 2])
    values = np.where(sources % 2 == 0, np.arange(50) % 2, np.arange(50) % 7 == 0) * 1.0
    share, without = values.mean(), np.array([values[sources != source].mean() for source in range(6)])
    _assert_solves(values, sources, 5 / 6 * np.square(without - share).sum(), 5)
    assert not np.isclose(share, without.mean())

    equal, places = np.array([1.0] * 9 + [0.0] * 21 + [1.0, 0.0] * 5), np.repeat(np.arange(4), 10)
    _assert_solves(equal, places, equal.reshape(4, 10).mean(axis=1).var(ddof=1) / 4, 3)


def _assert_solves(values: np.ndarray, sources: np.ndarray, variance: float, freedom: int) -> None:
    share = values.mean()
    scale = stats.t.ppf(0.975, freedom) ** 2 * variance / (share * (1 - share))

    def left(end: float) -> float:
        return float((share - end) ** 2 - scale * end * (1 - end))

    expected = [optimize.brentq(left, 0.0, share, xtol=1e-12), optimize.brentq(left, share, 1.0, xtol=1e-12)]
    found = mean_score(values.tolist(), clusters_N=sources.tolist(), resamples=100, seed=0)
    # The quantile of few degrees of freedom is an expansion: within 0.2%.
    assert found.interval == pytest.approx(expected, abs=1e-3)


def test_a_share_of_clusters_says_no_more_than_its_rows() -> None:
    """Clusters that are more alike than chance would make them do not narrow the interval of independent rows."""
    values = [1.0, 0.0] * 20
    found = mean_score(values, clusters_N=[row // 4 for row in range(40)], resamples=100, seed=0)
    assert found.interval == pytest.approx(wilson_interval(20, 40))


def test_a_share_that_no_cluster_reaches_is_as_uncertain_as_its_clusters_are_few() -> None:
    few = mean_score([0.0] * 100, clusters_N=[row // 20 for row in range(100)], resamples=4000, seed=0)
    many = mean_score([0.0] * 100, clusters_N=[row // 2 for row in range(100)], resamples=4000, seed=0)
    assert few.high is not None
    assert many.high is not None
    assert few.high > 2 * many.high > 0


def test_as_many_clusters_as_values_are_asked_for() -> None:
    with pytest.raises(ValueError, match="3 clusters for 2 values"):
        mean_score([1.0, 2.0], clusters_N=["a", "b", "c"], resamples=100, seed=0)


def test_the_rows_that_would_decide_by_the_textbook() -> None:
    """σ = 10, δ = 2 at 95% and 80%: ((1.95996 + 0.84162) · 10 / 2)² = 196.2. Of 100 rows the interval is 2 ± 1.96."""
    half = 1.959963984540054 * 10 / 10
    assert rows_to_decide(2.0, [2 - half, 2 + half], 100) == 197
    assert rows_to_decide(0.0, [-1.0, 1.0], 100) is None


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(0.02, -0.01, 0.05), "about 190 would"),
        (Estimate(0.0, -0.05, 0.05), "no affordable number"),
        (Estimate(0.05, 0.01, 0.09), ""),
        (Estimate(0.05, reason="one prompt gives no interval"), ""),
    ],
)
def test_an_interval_that_decides_nothing_says_about_how_many_rows_would(estimate: Estimate, words: str) -> None:
    """0.02 ± 0.03 of 40 rows: (2.8016 / 1.95996 · 0.03 / 0.02)² · 40 = 183.9, said with two digits, upwards: 190."""
    said = decides_at(estimate, 40 if words.startswith("about") else 100)
    assert (words in said) if words else said == ""


def test_interval_of_many_prompts_nears_the_delta_method() -> None:
    """For large N the ratio's standard error is sd(aligned − R·base) / (√N · mean base), R the ratio of sums."""
    generator = np.random.default_rng(3)
    base = generator.gamma(4.0, 30.0, 2000)
    aligned = 0.6 * base + generator.normal(0.0, 20.0, 2000)
    ratio = aligned.sum() / base.sum()
    error = 100.0 * np.std(aligned - ratio * base) / (np.sqrt(2000) * base.mean())
    found = relative_change(base.tolist(), aligned.tolist(), resamples=20_000, seed=4)
    assert found.value is not None
    assert found.interval == pytest.approx([found.value - 1.96 * error, found.value + 1.96 * error], abs=0.06 * error)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Of 400 simulated evaluations of 80 prompts, the 95% interval holds the true −40 % in about 95 of a hundred."""
    generator = np.random.default_rng(5)
    covered = 0
    for simulation in range(400):
        base = generator.gamma(4.0, 30.0, 80)
        aligned = 0.6 * base * generator.lognormal(-0.02, 0.2, 80)  # mean factor 1, so the true change is −40 %
        low, high = relative_change(base.tolist(), aligned.tolist(), resamples=500, seed=simulation).interval or [0, 0]
        covered += low <= -40.0 <= high
    assert 0.91 <= covered / 400 <= 0.98


def test_pairing_by_prompt_narrows_the_interval() -> None:
    """The same answers, compared with another prompt's base answer, leave the prompts' spread in the interval."""
    base = np.random.default_rng(6).gamma(2.0, 50.0, 100)
    paired = mean_difference(base.tolist(), (base - 20).tolist(), resamples=1000, seed=0)
    unpaired = mean_difference(base.tolist(), np.roll(base - 20, 1).tolist(), resamples=1000, seed=0)
    assert paired.value == pytest.approx(-20.0)
    assert unpaired.value == pytest.approx(-20.0)
    assert paired.interval == pytest.approx([-20.0, -20.0])
    assert unpaired.high is not None
    assert unpaired.low is not None
    assert unpaired.high - unpaired.low > 20.0


def test_same_seed_same_interval() -> None:
    base, aligned = np.random.default_rng(1).gamma(4.0, 30.0, (2, 40)).tolist()

    def change(seed: int) -> list[float] | None:
        return relative_change(base, aligned, resamples=500, seed=seed).interval

    assert change(7) == change(7)
    assert change(7) != change(8)


def test_chunked_resamples_keep_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = relative_change(BASE, ALIGNED, resamples=1001, seed=0)
    monkeypatch.setattr("raylign.bootstrap._INDICES_AT_A_TIME", 35)
    chunked = relative_change(BASE, ALIGNED, resamples=1001, seed=0)
    assert chunked.interval == pytest.approx(whole.interval)


@pytest.mark.parametrize(
    ("base", "aligned", "has_value", "reason"),
    [
        ([], [], False, "no prompts"),
        ([10.0], [5.0], True, "one prompt"),
        ([0.0, 0.0], [1.0, 2.0], False, "sum to zero"),
        ([0.0, 8.0], [1.0, 2.0], True, "some resamples"),
    ],
)
def test_nothing_to_say_is_said(base: list[float], aligned: list[float], has_value: bool, reason: str) -> None:
    found = relative_change(base, aligned, resamples=1000, seed=0)
    assert (found.value is not None) == has_value
    assert found.interval is None
    assert reason in found.reason


def test_mean_difference_of_one_prompt_has_no_interval() -> None:
    found = mean_difference([1.0], [0.0], resamples=100, seed=0)
    assert (found.value, found.interval) == (-1.0, None)


@pytest.mark.parametrize(("base", "aligned"), [([1.0], [1.0, 2.0]), ([float("nan")], [1.0])])
def test_values_that_cannot_be_paired_are_refused(base: list[float], aligned: list[float]) -> None:
    with pytest.raises(ValueError, match="paired values"):
        relative_change(base, aligned, resamples=100, seed=0)


@pytest.mark.parametrize(
    ("hits", "count", "expected"),
    [(81, 263, [0.2553, 0.3662]), (15, 148, [0.0624, 0.1605]), (0, 20, [0.0, 0.1611]), (20, 20, [0.8389, 1.0])],
)
def test_share_interval_equals_the_published_values(hits: int, count: int, expected: list[float]) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (the last one by symmetry)."""
    assert wilson_interval(hits, count) == pytest.approx(expected, abs=5e-5)


def test_share_of_nothing_has_no_interval() -> None:
    assert wilson_interval(0, 0) is None
