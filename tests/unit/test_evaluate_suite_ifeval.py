"""IFEval as a suite of the runner: figures by hand, and answers that are empty, cut, or not there."""

from pathlib import Path

import pytest
from suites import failed, ifeval_lines, said, write_lines

from raylign.config import load_config
from raylign.errors import ConfigError, InputError
from raylign.evaluate.suites.ifeval import Ifeval


def suite(path: Path) -> Ifeval:
    return Ifeval.create(load_config(None, [f"evaluate.ifeval.path={path}"]), path.parent)


@pytest.fixture
def ifeval(tmp_path: Path) -> Ifeval:
    return suite(write_lines(tmp_path / "in.jsonl", *ifeval_lines()))


def test_figures_by_hand(ifeval: Ifeval) -> None:
    """Of the prompts 0 to 3, which have 1, 2, 1 and 2 instructions, base follows all but 1's length and 2's comma."""
    base = {"0": said("one two"), "1": said("far too many words"), "2": said("one, two"), "3": said("one two")}
    assert [task.id for task in ifeval.tasks()] == ["0", "1", "2", "3"]
    assert ifeval.judge_tasks({"base": base}) == []
    result = ifeval.score({"base": base, "aligned": {key: said("one two") for key in base}}, {})
    metrics = {metric.name: metric for metric in result.metrics}
    assert metrics["prompt_strict"].values["base"] == {"0": 1.0, "1": 0.0, "2": 0.0, "3": 1.0}
    assert metrics["prompt_strict"].values["aligned"] == dict.fromkeys("0123", 1.0)
    strict = metrics["instruction_strict"]
    assert strict.values["base"] == {"0/0": 1.0, "1/0": 1.0, "1/1": 0.0, "2/0": 0.0, "3/0": 1.0, "3/1": 1.0}
    assert strict.clusters == {"0/0": "0", "1/0": "1", "1/1": "1", "2/0": "2", "3/0": "3", "3/1": "3"}
    assert result.extra["by_instruction"]["base"]["punctuation:no_comma"] == {"strict": 3, "loose": 3, "total": 4}
    assert result.counts == {"base": {"ok": 4}, "aligned": {"ok": 4}}
    assert len(result.rows) == 8


def test_the_loose_criterion_forgives_what_the_strict_one_does_not(ifeval: Ifeval) -> None:
    result = ifeval.score({"base": {key: said("Sure, here it is:\none two") for key in "0123"}}, {})
    metrics = {metric.name: metric.values["base"] for metric in result.metrics}
    assert metrics["prompt_strict"]["0"] == 0.0
    assert metrics["prompt_loose"]["0"] == 1.0


def test_what_has_no_answer_is_counted_and_in_no_figure(ifeval: Ifeval) -> None:
    """An empty answer follows nothing and a cut one is scored; a timeout and a task never asked say nothing."""
    readings = {"0": said(""), "1": said("one two", finish_reason="length"), "2": failed()}
    result = ifeval.score({"base": readings}, {})
    assert result.counts == {"base": {"empty": 1, "cut_off": 1, "timeout": 1, "missing": 1}}
    (strict,) = (metric for metric in result.metrics if metric.name == "prompt_strict")
    assert strict.values["base"] == {"0": 0.0, "1": 1.0}


def test_the_version_follows_the_data(tmp_path: Path, ifeval: Ifeval) -> None:
    lines = ifeval_lines()
    assert suite(write_lines(tmp_path / "same.jsonl", *lines)).version == ifeval.version
    lines[0]["prompt"] += " Please."
    assert suite(write_lines(tmp_path / "other.jsonl", *lines)).version != ifeval.version


def test_a_file_that_is_not_named_missing_or_malformed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.ifeval\.path is null"):
        Ifeval.create(load_config(), tmp_path)
    with pytest.raises(InputError, match=r"none\.jsonl cannot be read"):
        suite(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match=r"bad\.jsonl:2: not JSON"):
        suite(write_lines(tmp_path / "bad.jsonl", ifeval_lines()[0], "{"))


def test_the_published_file_loads(shared_data: Path) -> None:
    assert len(suite(shared_data / "ifeval_input_data.jsonl").tasks()) == 541
