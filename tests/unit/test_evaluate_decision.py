"""A model is promoted only where bar and guards hold at the bad end of the intervals; open is not the same as no."""

from typing import Any

import pytest

from raylign.config.guard_bounds import guard_bounds
from raylign.errors import ConfigError, InputError
from raylign.evaluate.decision import decide


def metric(low: float, value: float, high: float, better: bool | None = True) -> dict[str, Any]:
    difference = {"value": value, "ci95": [low, high], "rows": 100}
    return {"higher_is_better": better, "models": {"base": {"value": 0.5}}, "difference": {"aligned": difference}}


def results(**metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "models": {"base": {"weights": "b"}, "aligned": {"weights": "a"}},
        "baseline": "base",
        "suites": {"ifeval": {"version": "ifeval@1", "metrics": metrics}},
    }


GAIN = metric(0.02, 0.06, 0.10)


@pytest.mark.parametrize(
    ("found", "bar", "verdict"),
    [
        (GAIN, 0.0, "promoted"),
        (GAIN, 0.02, "undecided"),  # above the bar is asked for, and the lower bound is at it
        (GAIN, 0.05, "undecided"),
        (GAIN, 0.10, "rejected"),
        (GAIN, -0.05, "promoted"),  # no worse than 5 points is enough
        (metric(-0.10, -0.06, -0.02), 0.0, "rejected"),
        (metric(-0.01, 0.06, 0.13), 0.0, "undecided"),
        (metric(-0.10, -0.06, -0.02, better=False), 0.0, "promoted"),  # fewer is better
        (metric(0.02, 0.06, 0.10, better=False), 0.0, "rejected"),
    ],
)
def test_the_gains_lower_bound_must_beat_the_bar(found: dict[str, Any], bar: float, verdict: str) -> None:
    decision = decide(results(passed=found), "aligned", "ifeval.passed", bar, {})
    assert decision.verdict == verdict
    assert "95% interval" in decision.reason


@pytest.mark.parametrize(
    ("found", "bound", "verdict"),
    [
        (metric(-0.01, 0.0, 0.01), 0.02, "promoted"),
        (metric(-0.02, 0.0, 0.02), 0.02, "promoted"),  # the bound itself is allowed
        (metric(-0.05, 0.0, 0.05), 0.02, "undecided"),
        (metric(-0.09, -0.06, -0.03), 0.02, "rejected"),
        (metric(0.03, 0.06, 0.09), 0.02, "promoted"),  # it may rise as far as it likes
        (metric(0.03, 0.06, 0.09, better=False), 0.02, "rejected"),
        (metric(-40, -30, -20, better=None), [-50, 50], "promoted"),
        (metric(-60, -45, -30, better=None), [-50, 50], "undecided"),
        (metric(-90, -80, -70, better=None), [-50, 50], "rejected"),
        (metric(-90, -80, -70, better=None), [None, 50], "promoted"),
    ],
)
def test_guards_must_hold_at_the_intervals_bad_end(found: dict[str, Any], bound: Any, verdict: str) -> None:
    decision = decide(results(passed=GAIN, guard=found), "aligned", "ifeval.passed", 0.0, {"ifeval.guard": bound})
    assert decision.verdict == verdict
    assert [check.role for check in decision.checks] == ["bar", "guard"]


def test_a_guard_that_surely_fell_outweighs_a_bar_that_is_open() -> None:
    guards = {"ifeval": {"guard": 0.02}}  # as the command line nests it
    found = results(passed=metric(-0.01, 0.06, 0.13), guard=metric(-0.09, -0.06, -0.03))
    decision = decide(found, "aligned", "ifeval.passed", 0.0, guards)
    assert decision.verdict == "rejected"
    assert "ifeval.guard" in decision.reason
    assert "ifeval.passed" not in decision.reason


def test_the_end_of_the_interval_that_decided_is_said() -> None:
    decision = decide(results(passed=metric(-0.013, 0.06, 0.13)), "aligned", "ifeval.passed", 0.0, {})
    assert "bad end, -0.013" in decision.reason


def test_what_is_open_says_about_how_many_rows_would_decide_at_its_own_bound() -> None:
    """0.06 ± 0.04 of 100 rows against a bar of 0.03: (2.8016 / 1.95996 · 0.04 / 0.03)² · 100 = 363, said as 370."""
    decision = decide(results(passed=GAIN), "aligned", "ifeval.passed", 0.03, {})
    assert "the interval holds 0.03" in decision.reason
    assert "about 370 would" in decision.reason


def test_a_figure_without_an_interval_leaves_it_open() -> None:
    found = metric(0, 0.5, 0)
    found["difference"]["aligned"] |= {"ci95": None, "note": "one prompt gives no interval"}
    decision = decide(results(passed=found), "aligned", "ifeval.passed", 0.0, {})
    assert decision.verdict == "undecided"
    assert "one prompt gives no interval" in decision.reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pairwise.win_rate", "'pairwise' was not evaluated (evaluated: ifeval)"),
        ("ifeval.pased", "did you mean ifeval.passed?"),
        ("ifeval", "no metric ''"),
    ],
)
def test_what_was_not_evaluated_cannot_decide(name: str, words: str) -> None:
    for metric_name, guards in ((name, {}), ("ifeval.passed", {name if "." in name else "ifeval.": 0.1})):
        with pytest.raises(InputError) as refused:
            decide(results(passed=GAIN), "aligned", metric_name, 0.0, guards)
        assert words in str(refused.value)


def test_a_figure_of_no_common_rows_cannot_decide() -> None:
    found = GAIN | {"difference": {"aligned": {"value": None, "ci95": None, "rows": 0, "note": "there are no prompts"}}}
    with pytest.raises(InputError, match="there are no prompts"):
        decide(results(passed=found), "aligned", "ifeval.passed", 0.0, {})


def test_a_figure_without_a_better_side_takes_a_band() -> None:
    found = results(passed=GAIN, tokens=metric(-1, 0, 1, better=None))
    with pytest.raises(ConfigError, match="neither more nor less"):
        decide(found, "aligned", "ifeval.tokens", 0.0, {})
    with pytest.raises(ConfigError, match="band"):
        decide(found, "aligned", "ifeval.passed", 0.0, {"ifeval.tokens": 5})


@pytest.mark.parametrize("model", ["other", "base"])
def test_a_model_that_was_not_evaluated_against_a_baseline_is_refused(model: str) -> None:
    with pytest.raises((InputError, ConfigError), match=model):
        decide(results(passed=GAIN), model, "ifeval.passed", 0.0, {})


@pytest.mark.parametrize(
    "bound", [-0.1, "5%", True, [1], [1, 2, 3], [2, 1], [None, None], ["a", 1], float("nan"), None]
)
def test_a_bound_of_another_form_is_refused_with_both_forms(bound: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        guard_bounds({"ifeval.passed": bound})
    assert "promote.guards.ifeval.passed" in str(refused.value)
    assert "band [lowest, highest]" in str(refused.value)


def test_a_guard_must_name_suite_and_metric() -> None:
    with pytest.raises(ConfigError, match=r"SUITE\.METRIC"):
        guard_bounds({"passed": 0.1})
