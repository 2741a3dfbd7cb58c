"""The bootstrap against calculations that do not resample at random, and what it says where there is nothing to say."""

import itertools

import numpy as np
import pytest

from raylign.evaluate.statistics import mean_difference, relative_change, wilson_interval

BASE = [120.0, 80.0, 150.0, 95.0, 60.0]
ALIGNED = [60.0, 75.0, 70.0, 50.0, 66.0]


def every_resample(count: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(count), repeat=count))


def test_change_by_hand() -> None:
    """(321 − 505) / 505 = −36.43 %, the change of the totals, not the mean of the five changes (−28.1 %)."""
    assert relative_change(BASE, ALIGNED, resamples=100, seed=0).value == pytest.approx(-36.4356, abs=1e-4)


def test_change_interval_equals_the_exact_bootstrap() -> None:
    """All 5⁵ = 3,125 resamples enumerated give the distribution that random ones approach."""
    exact = []
    for draw in every_resample(5):
        base = sum(BASE[index] for index in draw)
        exact.append(100.0 * (sum(ALIGNED[index] for index in draw) - base) / base)
    found = relative_change(BASE, ALIGNED, resamples=200_000, seed=1)
    assert found.interval == pytest.approx(np.percentile(exact, [2.5, 97.5]), abs=0.3)


def test_mean_difference_interval_equals_the_exact_bootstrap() -> None:
    differences = [one - other for one, other in zip(ALIGNED, BASE, strict=True)]
    exact = [sum(differences[index] for index in draw) / 5 for draw in every_resample(5)]
    found = mean_difference(BASE, ALIGNED, resamples=200_000, seed=2)
    assert found.value == pytest.approx(-36.8)
    assert found.interval == pytest.approx(np.percentile(exact, [2.5, 97.5]), abs=0.5)


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
    def change(seed: int) -> list[float] | None:
        return relative_change(BASE, ALIGNED, resamples=500, seed=seed).interval

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
