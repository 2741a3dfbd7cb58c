"""MixEval as a suite: what is asked, how answers count, and what is wrong with a folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from mixeval_folder import free_form, multiple_choice, write_mixeval

from raylign.config import load_config
from raylign.errors import ConfigError, InputError
from raylign.evaluate.metric import Metric
from raylign.evaluate.suites.mixeval.data import read_problems
from raylign.evaluate.suites.mixeval.suite import Mixeval, MixevalHard
from raylign.evaluate.suites.suite import Reading, SuiteResult


def suite(folder: Path, parser: str = "rule") -> Mixeval:
    settings = [f"evaluate.mixeval.{key}={parser}" for key in ("multiple_choice", "free_form")]
    return Mixeval.create(load_config(None, [f"evaluate.mixeval.path={folder}", *settings]), folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_mixeval(tmp_path / "mixeval-2024-08-11")


RIGHT = {
    "free-form/0": "56",
    "free-form/1": "Answer: 15",
    "free-form/2": "Mars",
    "free-form/3": "144",
    "free-form/4": "$\\frac{1}{2}$",
    "multiple-choice/0": "A",
    "multiple-choice/1": "(B)",
    "multiple-choice/2": "Answer: B",
    "multiple-choice/3": "shelf",
    "multiple-choice/4": "J",
}


def readings(texts: dict[str, str], **others: Reading) -> dict[str, Reading]:
    return {id_: Reading(text, 3) for id_, text in texts.items()} | others


def mean(result: SuiteResult, name: str, model: str) -> float:
    metric: Metric = next(one for one in result.metrics if one.name == name)
    values = metric.values[model].values()
    return sum(values) / len(values)


def test_every_problem_is_asked_with_its_passage_and_lettered_options(folder: Path) -> None:
    tasks = {task.id: task for task in suite(folder).tasks()}
    assert len(tasks) == 10
    asked = tasks["free-form/0"].messages[0]["content"]
    assert asked.startswith("The reading room has 40 seats.")
    assert "Answer: ..." in asked
    assert "A. three\nB. four" in tasks["multiple-choice/1"].messages[0]["content"], "letters of its own are left out"
    assert tasks["free-form/0"].source == tasks["free-form/1"].source != ""
    assert tasks["free-form/2"].source == ""


def test_right_answers_score_one_in_every_figure(folder: Path) -> None:
    result = suite(folder).score({"base": readings(RIGHT)}, {})
    names = {metric.name for metric in result.metrics}
    assert {"score", "score_parsed", "multiple_choice", "free_form", "benchmark.MMLU-Pro"} <= names
    assert all(mean(result, name, "base") == 1.0 for name in names)
    assert result.counts == {"base": {"ok": 10}}
    assert result.extra["parsing"] == {"base": {"parsed": 10}}


def test_an_unparsed_answer_counts_as_unparsed_and_never_at_random(folder: Path) -> None:
    """Of ten answers two cannot be read: 8/10 over all, 1 over those that were read."""
    unclear = RIGHT | {"multiple-choice/0": "A or B", "free-form/2": "One of the planets. " * 5}
    result = suite(folder).score({"base": readings(RIGHT), "aligned": readings(unclear)}, {})
    assert mean(result, "score", "aligned") == pytest.approx(0.8)
    assert mean(result, "score_parsed", "aligned") == pytest.approx(1.0)
    assert result.extra["parsing"]["aligned"] == {"parsed": 8, "unparsed": 2}
    assert suite(folder).score({"base": readings(unclear)}, {}).rows == [
        row | {"model": "base"} for row in result.rows if row["model"] == "aligned"
    ]


def test_the_overall_score_is_the_mean_of_both_halves(tmp_path: Path) -> None:
    """Five right of five free-form, none of two multiple-choice: 0.5, where a mean over the rows would be 5/7."""
    folder = write_mixeval(tmp_path)
    few = dict(list(multiple_choice().items())[:2])
    (folder / "mixeval" / "multiple-choice.json").write_text(json.dumps(few), encoding="utf-8")
    texts = {id_: text for id_, text in RIGHT.items() if id_.startswith("free")}
    texts |= {"multiple-choice/0": "B", "multiple-choice/1": "A"}
    result = suite(folder).score({"base": readings(texts)}, {})
    assert mean(result, "score", "base") == pytest.approx(0.5)
    assert mean(result, "free_form", "base") == 1.0


def test_what_was_not_answered_is_in_no_figure_and_an_empty_answer_is_unparsed(folder: Path) -> None:
    others = {"free-form/0": Reading("", status="timeout"), "free-form/1": Reading("  ")}
    result = suite(folder).score({"base": readings(RIGHT) | others}, {})
    assert result.extra["parsing"]["base"] == {"parsed": 8, "no_answer": 1, "unparsed": 1}
    assert result.counts["base"] == {"ok": 8, "timeout": 1, "empty": 1}
    assert mean(result, "free_form", "base") == pytest.approx(3 / 4)


def test_a_judge_reads_what_it_is_shown_and_its_nonsense_is_nobodys_fault(folder: Path) -> None:
    judged = suite(folder, "model")
    assert judged.needs_judge
    answers = {"base": readings(RIGHT)}
    tasks = {task.id: task for task in judged.judge_tasks(answers)}
    assert len(tasks) == 10
    shown = tasks["free-form/1/base"].messages[0]["content"]
    assert "- fifteen" in shown
    assert "Answer: 15" in shown
    verdicts = {
        id_: Reading("Score: 0.5" if task.task_id.startswith("free") else "Option: A") for id_, task in tasks.items()
    }
    verdicts |= {
        "free-form/0/base": Reading("What a fine question!"),
        "free-form/1/base": Reading("", status="timeout", detail="no reply"),
        "multiple-choice/4/base": Reading("Option: none"),
    }
    result = judged.score(answers, verdicts)
    assert result.extra["parsing"]["base"] == {"parsed": 7, "judge_unread": 2, "unparsed": 1}
    assert mean(result, "free_form", "base") == 0.5
    assert mean(result, "multiple_choice", "base") == pytest.approx(2 / 5), "A is right twice; none is unparsed"
    assert "2 verdicts on answers of base" in result.extra["notes"][0]


def test_rules_alone_need_no_judge(folder: Path) -> None:
    assert not suite(folder).needs_judge
    assert suite(folder).judge_tasks({"base": readings(RIGHT)}) == []


def test_the_version_follows_data_and_parsers(folder: Path) -> None:
    before = suite(folder).version
    assert suite(folder).version == before
    assert suite(folder, "model").version != before
    changed = free_form()
    changed["0"]["target"] = ["57"]
    (folder / "mixeval" / "free-form.json").write_text(json.dumps(changed), encoding="utf-8")
    assert suite(folder).version != before


def test_the_hard_split_lies_beside_the_other(folder: Path) -> None:
    with pytest.raises(InputError, match="no folder mixeval-hard"):
        MixevalHard.create(load_config(None, [f"evaluate.mixeval.path={folder}"]), folder)
    write_mixeval(folder, "mixeval-hard")
    assert len(MixevalHard.create(load_config(None, [f"evaluate.mixeval.path={folder}"]), folder).tasks()) == 10


def test_several_layouts_are_read(folder: Path) -> None:
    expected = read_problems(folder, "mixeval")
    assert read_problems(folder.parent, "mixeval") == expected, "the folder above a version's"
    assert read_problems(folder / "mixeval", "mixeval") == expected, "the split's own folder"
    path = folder / "mixeval" / "free-form.json"
    rows = [row | {"id": id_} for id_, row in free_form().items()]
    path.with_suffix(".jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    path.unlink()
    assert read_problems(folder, "mixeval") == expected


def test_two_versions_in_a_folder_are_not_chosen_between(folder: Path) -> None:
    write_mixeval(folder.parent / "mixeval-2024-06-01")
    with pytest.raises(InputError, match="mixeval-2024-06-01"):
        read_problems(folder.parent, "mixeval")


def test_no_folder_is_named() -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.mixeval\.path is null"):
        Mixeval.create(load_config(), Path())


@pytest.mark.parametrize("missing", ["mixeval/free-form.json", "mixeval/multiple-choice.json"])
def test_a_missing_file_is_named_with_the_cure(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(InputError) as refused:
        suite(folder)
    assert missing in str(refused.value)
    assert "evaluate.mixeval.path" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": ""}, "prompt is ''"),
        ({"target": []}, "target is []"),
        ({"target": [4]}, "4 options"),
        ({"target": [0, 1]}, "target is [0, 1]"),
        ({"options": ["one"]}, "options"),
        ({"benchmark_name": None}, "benchmark_name"),
        ({"problem_type": "free-form"}, "problem_type"),
        ({"context": 3}, "context is 3"),
    ],
)
def test_a_malformed_problem_is_named(folder: Path, change: dict[str, Any], words: str) -> None:
    rows = multiple_choice()
    rows["0"] |= change
    path = folder / "mixeval" / "multiple-choice.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        suite(folder)
    assert words in str(refused.value)
    assert f"{path}: problem '0'" in str(refused.value)


@pytest.mark.parametrize(("text", "words"), [("{", "not JSON"), ("3", "holds a int"), ("{}", "has no problems")])
def test_a_file_of_another_kind(folder: Path, text: str, words: str) -> None:
    (folder / "mixeval" / "free-form.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        suite(folder)
