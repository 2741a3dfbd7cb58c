"""The report's part on suites: figures with intervals, differences, notes, counts, and the drawn movement."""

from typing import Any

import pytest

from raylign.report.page import render
from raylign.report.record import RunRecord
from raylign.report.suites import suite_tables

METRIC: dict[str, Any] = {
    "higher_is_better": True,
    "models": {
        "base": {"value": 0.25, "ci95": [0.1, 0.4], "rows": 40},
        "aligned": {"value": 0.5, "ci95": [0.35, 0.65], "rows": 40},
    },
    "difference": {"aligned": {"value": 0.25, "ci95": [0.1, 0.4], "rows": 40, "note": "about 90 rows would decide"}},
    "clusters": None,
}
RESULTS: dict[str, Any] = {
    "models": {"base": {"weights": "bundled"}, "aligned": {"weights": "sha256:1"}},
    "baseline": "base",
    "suites": {
        "ifeval": {
            "version": "ifeval@1",
            "tasks": 41,
            "counts": {"base": {"ok": 40, "timeout": 1}, "aligned": {"ok": 40, "cut_off": 1}},
            "metrics": {"prompt_strict": METRIC},
            "notes": ["1 of 41 tasks are in no figure of base (1 timeout) <script>"],
        }
    },
}


def with_suite(**part: Any) -> dict[str, Any]:
    return {**RESULTS, "suites": {"own": {**RESULTS["suites"]["ifeval"], **part}}}


def test_a_table_says_what_suites_json_says() -> None:
    (table,) = suite_tables(RESULTS)
    assert (table.name, table.tasks, table.models) == ("ifeval", 41, ("base", "aligned"))
    (metric,) = table.metrics
    assert [figure.value for figure in metric.models] == ["0.250", "0.500"]
    assert metric.differences[0] is None
    assert metric.differences[1] is not None
    assert (metric.differences[1].value, metric.differences[1].clear) == ("+0.250", True)
    assert metric.notes == ("about 90 rows would decide",)
    assert table.counts == (("base", "40 ok, 1 timeout"), ("aligned", "40 ok, 1 cut_off"))


@pytest.mark.parametrize("interval", [[-0.1, 0.4], [0.0, 0.4], None])
def test_only_an_interval_without_zero_is_a_clear_difference(interval: list[float] | None) -> None:
    metric = {**METRIC, "difference": {"aligned": {"value": 0.25, "ci95": interval, "rows": 3}}}
    difference = suite_tables(with_suite(metrics={"m": metric}))[0].metrics[0].differences[1]
    assert difference is not None
    assert not difference.clear


def test_a_figure_that_is_not_there_is_a_dash_and_no_zero() -> None:
    nothing = {"value": None, "ci95": None, "rows": 0, "note": "there are no rows"}
    metric = {**METRIC, "models": {"base": METRIC["models"]["base"], "aligned": nothing}, "difference": {}}
    figures = suite_tables(with_suite(metrics={"m": metric}))[0].metrics[0].models
    assert (figures[1].value, figures[1].rows) == ("–", 0)


def test_the_judge_is_described_with_its_intervals() -> None:
    judged = {
        "outcomes": {"win": 12, "tie": 3, "loss": 5, "unread": 0, "unanswered": 0},
        "judge": {"position_bias": 0.1, "position_bias_ci95": [0.03, 0.3], "self_consistency": None},
        "length_controlled_win_rate": {"value": 0.612, "ci95": [0.5, 0.71]},
    }
    (table,) = suite_tables(with_suite(judged={"aligned": judged}))
    (_, words) = table.judged[0]
    assert words == (
        "12 win, 3 tie, 5 loss; win rate at equal lengths 61.2% (95% interval 50% to 71%); "
        "the judge named the same place twice on 10% (95% interval 3% to 30%)"
    )


def test_the_page_draws_the_movement_and_escapes_everything() -> None:
    movement = {"aligned": {"chosen": [-1.0, 2.0, 5.0], "rejected": [-9.0, -4.0, 0.0]}}
    page = render(RunRecord("r", suites=with_suite(movement=movement)))
    assert "Likelihood movement to aligned" in page
    assert page.count("<polyline") == 2
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_a_run_without_suites_has_no_such_part() -> None:
    assert suite_tables({}) == []
    assert "Suite " not in render(RunRecord("r"))
