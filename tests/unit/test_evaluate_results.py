"""What suites.json says: counts that add up, notes on what is in no figure, and whose results may stand together."""

from pathlib import Path
from typing import Any

import pytest
from records import user
from suites import failed, said

from raylign.config import load_config
from raylign.errors import ConfigError
from raylign.evaluate.metric import Metric
from raylign.evaluate.results import merged, short, suite_part
from raylign.evaluate.rows import Contestant
from raylign.evaluate.runner import load
from raylign.evaluate.suites.readings import answer_metrics, clusters_of, count_conditions
from raylign.evaluate.suites.suite import SuiteResult, Task

TASKS = [Task(str(number), user("Why?")) for number in range(4)]
MODELS = [Contestant("base", "bundled"), Contestant("aligned", "sha256:1")]


def part(result: SuiteResult, **arguments: Any) -> dict[str, Any]:
    return suite_part("v@1", 4, result, {}, "base", 200, 0, **arguments)


def test_every_task_is_counted_once_for_each_model() -> None:
    answers = {
        "base": {"0": said("fine"), "1": said(""), "2": said("cut", finish_reason="length"), "3": failed()},
        "aligned": {"0": said("fine"), "1": failed("refused"), "2": failed("bad_request")},
    }
    counts = count_conditions(TASKS, answers)
    assert counts == {
        "base": {"ok": 1, "empty": 1, "cut_off": 1, "timeout": 1},
        "aligned": {"ok": 1, "refused": 1, "bad_request": 1, "missing": 1},
    }
    found = part(SuiteResult([], counts), further=answer_metrics(TASKS, answers))
    assert found["notes"] == [
        "1 of 4 tasks are in no figure of base (1 timeout)",
        "2 of 4 tasks are in no figure of aligned (1 bad_request, 1 missing)",
    ]
    tokens = found["metrics"]["answer_tokens"]
    assert tokens["models"]["base"]["value"] == pytest.approx((1 + 0 + 1) / 3)
    assert tokens["difference"]["aligned"]["rows"] == 2, "paired by task: both have 0 and 1"
    assert found["metrics"]["refusal_rate"]["models"]["aligned"]["value"] == 0.5
    assert found["metrics"]["cut_off_rate"]["models"]["base"]["value"] == pytest.approx(1 / 3)


def test_an_endpoint_that_counts_no_tokens_gives_no_length_and_says_so() -> None:
    answers = {model: {task.id: said("a text", tokens=0) for task in TASKS} for model in ("base", "aligned")}
    found = part(SuiteResult([], count_conditions(TASKS, answers)), further=answer_metrics(TASKS, answers))
    assert "answer_tokens" not in found["metrics"]
    assert found["notes"] == ["answer_tokens has no row, so there is no figure"]


def test_a_model_without_any_row_is_no_zero() -> None:
    metric = Metric("correct", {"base": {"0": 1.0, "1": 0.0}, "aligned": {}}, True)
    found = part(SuiteResult([metric], {}))["metrics"]["correct"]
    assert found["models"]["aligned"]["value"] is None
    assert found["difference"]["aligned"]["value"] is None


def test_results_of_other_models_do_not_stand_beside_new_ones() -> None:
    first, left_out = merged(None, MODELS, {"ifeval": {"version": "1", "metrics": {}}})
    assert (first["baseline"], first["models"]["aligned"]) == ("base", {"weights": "sha256:1"})
    assert left_out == []
    both, left_out = merged(first, MODELS, {"custom": {"version": "2", "metrics": {}}})
    assert (set(both["suites"]), left_out) == ({"ifeval", "custom"}, [])
    trained_anew = [MODELS[0], Contestant("aligned", "sha256:2")]
    alone, left_out = merged(both, trained_anew, {"custom": {"version": "2", "metrics": {}}})
    assert (set(alone["suites"]), left_out) == ({"custom"}, ["ifeval"])


def test_the_short_form_has_each_models_value() -> None:
    metric = Metric("correct", {"base": {"0": 1.0, "1": 0.0}, "aligned": {"0": 1.0, "1": 1.0}}, True)
    found = {"custom": part(SuiteResult([metric], {}))}
    assert short(found) == {"custom": {"correct": {"base": 0.5, "aligned": 1.0}}}


def test_tasks_of_one_source_are_a_cluster() -> None:
    def sources(*names: str) -> dict[str, str] | None:
        return clusters_of(Task(str(at), user("?"), None, name) for at, name in enumerate(names))

    assert sources("", "") is None
    assert sources("a", "a") is None, "one source for all is what the prompts are drawn from"
    assert sources("a", "b", "c") is None
    assert sources("a", "a", "b", "") == {"0": "a", "1": "a", "2": "b", "3": "task 3"}


class Mine:
    """A suite of a user's own, found by module:Class."""

    name = "answers"

    @classmethod
    def create(cls, config: object, run: Path) -> "Mine":
        return cls()


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("ifevl", "did you mean 'ifeval'?"),
        ("mmlu", "allowed: custom, heldout, ifeval, mixeval, mixeval_hard, pairwise"),
        ("no_such_module:Suite", "cannot be imported"),
        ("raylign.evaluate.suites.ifeval:Nothing", "cannot be imported"),
        ("pairwise", "needs a judge, and evaluate.judge.model is null"),
        ("ifeval", "evaluate.ifeval.path is null"),
        (f"{__name__}:Mine", "calls itself 'answers'"),
    ],
)
def test_a_suite_that_cannot_run_is_refused_with_the_cure(tmp_path: Path, name: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([name], load_config(), tmp_path)
    assert named in str(caught.value)


def test_other_models_than_the_runs_own_cannot_be_measured(tmp_path: Path) -> None:
    config = load_config(None, ["evaluate.base_url=http://x/v1", "evaluate.models=[a,b]"])
    with pytest.raises(ConfigError, match="only the run's base and aligned can be measured"):
        load(["heldout"], config, tmp_path)
