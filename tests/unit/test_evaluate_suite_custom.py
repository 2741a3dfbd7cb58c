"""The custom suite: each way of scoring, a judge's grades, and a line for every mistake in a file."""

from pathlib import Path

import pytest
from suites import failed, said, write_lines

from raylign.config import load_config
from raylign.errors import ConfigError, InputError
from raylign.evaluate.suites.custom import Custom
from raylign.evaluate.suites.custom_rows import read_custom_rows
from raylign.evaluate.suites.custom_scoring import follows, last_number, read_grade

LINES = [
    {"id": "sum", "prompt": "What is 6 times 7?", "numeric": 42},
    {"id": "colour", "prompt": "Name a colour.", "regex": r"(?i)\b(red|blue)\b", "source": "c"},
    {"id": "capital", "prompt": "Capital of France?", "exact": ["Paris", "Paris."], "source": "c", "max_tokens": 5},
    {"id": "poem", "prompt": "Write a poem.", "judge": "It rhymes."},
]


@pytest.fixture
def custom(tmp_path: Path) -> Custom:
    path = write_lines(tmp_path / "own.jsonl", *LINES)
    return Custom.create(load_config(None, [f"evaluate.custom.path={path}"]), tmp_path)


def test_every_way_of_scoring(custom: Custom) -> None:
    right = {"sum": said("6 × 7 = 42"), "colour": said("Red!"), "capital": said(" Paris "), "poem": said("day, may")}
    wrong = {"sum": said("42 or 43"), "colour": said("bored"), "capital": said("paris"), "poem": said("no")}
    answers = {"base": wrong, "aligned": right}
    tasks = custom.judge_tasks(answers)
    assert [task.id for task in tasks] == ["poem/base", "poem/aligned"]
    assert "It rhymes." in tasks[0].messages[1]["content"]
    assert custom.needs_judge
    verdicts = {"poem/base": said("No rhyme.\nVerdict: fail"), "poem/aligned": said("**Verdict: pass**")}
    result = custom.score(answers, verdicts)
    metrics = {metric.name: metric for metric in result.metrics}
    assert metrics["correct"].values == {
        "base": dict.fromkeys(right, 0.0),
        "aligned": dict.fromkeys(right, 1.0),
    }
    assert metrics["correct_numeric"].values["aligned"] == {"sum": 1.0}
    clusters = metrics["correct"].clusters
    assert clusters is not None
    assert clusters["colour"] == clusters["capital"] != clusters["sum"]
    assert [task.max_tokens for task in custom.tasks()] == [None, None, 5, None]


def test_a_judge_that_answers_nonsense_is_counted_and_its_row_in_no_figure(custom: Custom) -> None:
    answers = {"base": {line["id"]: said("x") for line in LINES}}
    for verdict in (said("la la"), said("Verdict: pass\nVerdict: fail"), said("Verdict: maybe"), failed(), said("")):
        result = custom.score(answers, {"poem/base": verdict})
        assert set(result.metrics[0].values["base"]) == {"sum", "colour", "capital"}
        assert result.extra["unread_verdicts"] == {"base": 1}
        assert result.extra["notes"]
    cut = said("so I would say\nVerdict: pass", finish_reason="length")
    assert read_grade(cut).passed is None


def test_answers_that_failed_are_counted_and_empty_ones_are_wrong(custom: Custom) -> None:
    result = custom.score({"base": {"sum": failed("bad_request"), "colour": said(""), "poem": said(" ")}}, {})
    assert result.counts == {"base": {"bad_request": 1, "empty": 2, "missing": 1}}
    assert result.metrics[0].values["base"] == {"colour": 0.0, "poem": 0.0}
    assert custom.judge_tasks({"base": {"poem": said(" ")}}) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so 3 + 4 = 7.", 7.0), ("1,234,567.5 metres", 1234567.5), ("minus: -3", -3.0), ("−3", -3.0), ("3-4", 4.0),
        (".5", 0.5), ("2e3", 2000.0), ("1,2", 2.0), ("v2", None), ("none", None), ("", None), ("10%", 10.0),
        ("12, 13", 13.0), ("$1,000", 1000.0), ("3.", 3.0),
    ],
)  # fmt: skip
def test_the_last_number_of_an_answer(text: str, number: float | None) -> None:
    assert last_number(text) == number


def test_a_tolerance_is_absolute_and_inclusive(tmp_path: Path) -> None:
    line = {"prompt": "π?", "numeric": 3.14, "tolerance": 0.01}
    (row,) = read_custom_rows(write_lines(tmp_path / "own.jsonl", line))
    assert follows(row, "about 3.1415")
    assert not follows(row, "about 3.16")


@pytest.mark.parametrize(
    ("line", "said_of_it"),
    [
        ("{", "not JSON"),
        ("[1]", "a list, not an object"),
        ({"prompt": "x"}, "scored by nothing"),
        ({"prompt": "x", "exact": "a", "regex": "b"}, "scored by exact and regex"),
        ({"prompt": "x", "exact": " "}, "exact is ' '"),
        ({"prompt": "x", "exact": []}, "exact is []"),
        ({"prompt": "x", "regex": "("}, "regex is '('"),
        ({"prompt": "x", "numeric": "4"}, "numeric is '4'"),
        ({"prompt": "x", "numeric": True}, "numeric is True"),
        ({"prompt": "x", "judge": ""}, "judge is ''"),
        ({"exact": "a"}, "no_prompt"),
        ({"prompt": "x", "exact": "a", "max_tokens": 0}, "max_tokens is 0"),
        ({"prompt": "x", "exact": "a", "tolerance": 1}, "tolerance is 1 beside exact"),
        ({"prompt": "x", "exact": "a", "source": 3}, "source is 3"),
        ({"prompt": "x", "exct": "a"}, "unknown key 'exct'"),
        ({"prompt": "y", "exact": "a", "id": "one"}, "the id 'one' stands on an earlier line"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, line: object, said_of_it: str) -> None:
    path = write_lines(tmp_path / "own.jsonl", {"id": "one", "prompt": "x", "exact": "a"}, "", line)
    with pytest.raises(InputError) as caught:
        read_custom_rows(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert said_of_it in str(caught.value)
    assert caught.value.cure


def test_a_file_that_is_not_named_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.custom\.path is null"):
        Custom.create(load_config(), tmp_path)
    with pytest.raises(InputError, match="No such file"):
        read_custom_rows(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="has no lines"):
        read_custom_rows(write_lines(tmp_path / "empty.jsonl", ""))
