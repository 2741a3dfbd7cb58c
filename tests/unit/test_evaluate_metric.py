"""A metric's summary pairs models by row, and says where rows are too few."""

import pytest

from raylign.evaluate.metric import Metric, summarise


def test_differences_are_of_the_rows_that_both_models_have() -> None:
    values = {"base": {"a": 1.0, "b": 0.0, "c": 0.0}, "aligned": {"b": 1.0, "c": 0.0, "d": 1.0}}
    found = summarise(Metric("passed", values, True), "base", resamples=500, seed=0)
    assert found["models"]["base"]["value"] == pytest.approx(1 / 3)
    assert found["models"]["aligned"]["rows"] == 3
    assert found["difference"]["aligned"]["value"] == pytest.approx(0.5), "rows b and c"
    assert found["difference"]["aligned"]["rows"] == 2
    assert found["clusters"] is None
    assert set(found["difference"]) == {"aligned"}


def test_an_interval_that_holds_zero_says_about_how_many_rows_would_decide() -> None:
    values = {
        "base": {str(row): float(row % 3 == 0) for row in range(60)},
        "aligned": {str(row): float(row % 3 == 0 or row % 20 == 1) for row in range(60)},
    }
    difference = summarise(Metric("passed", values, True), "base", resamples=500, seed=0)["difference"]["aligned"]
    assert difference["ci95"][0] < 0 < difference["value"]
    assert "rows do not decide" in difference["note"]


def test_rows_of_one_source_widen_the_interval() -> None:
    rows = {str(row): float(row // 10) for row in range(60)}
    clusters = {row: f"passage {int(row) // 10}" for row in rows}
    alone = summarise(Metric("tokens", {"base": rows}, None), "base", resamples=500, seed=0)
    together = summarise(Metric("tokens", {"base": rows}, None, clusters), "base", resamples=500, seed=0)
    assert together["clusters"] == 6
    low, high = alone["models"]["base"]["ci95"]
    low_clustered, high_clustered = together["models"]["base"]["ci95"]
    assert high_clustered - low_clustered > 2 * (high - low)


def test_rows_without_a_source_stand_for_themselves() -> None:
    metric = Metric("passed", {"base": {"a": 1.0, "b": 0.0, "c": 1.0}}, True, {"a": "one", "b": "one"})
    assert summarise(metric, "base", resamples=200, seed=0)["clusters"] == 2


def test_no_rows_are_no_zero() -> None:
    found = summarise(Metric("passed", {"base": {}, "aligned": {"a": 1.0}}, True), "base", resamples=200, seed=0)
    assert found["models"]["base"] == {"value": None, "ci95": None, "rows": 0, "note": "there are no rows"}
    assert found["difference"]["aligned"]["value"] is None


def test_a_baseline_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="baseline"):
        summarise(Metric("passed", {"aligned": {}}, True), "base", resamples=200, seed=0)
