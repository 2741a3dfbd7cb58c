"""The pairwise suite: who is compared with whom, what verdicts in both orders say, and what is in no figure."""

from pathlib import Path

import pytest
from records import user
from suites import failed, said, write_lines

from raylign.config import LoopConfig, load_config
from raylign.errors import InputError
from raylign.evaluate.suites.pairwise import Pairwise
from raylign.evaluate.suites.suite import Answers, Reading, SuiteResult
from raylign.parts import PartWriter
from raylign.records import Prompt

SETTINGS = ["evaluate.bootstrap_samples=200", "evaluate.judge.model=base"]
PROMPTS = [Prompt(f"p{number}", user(f"Question {number}?"), "heldout", f"s{number % 2}") for number in range(6)]
BASE = {prompt.id: said("a much longer answer") for prompt in PROMPTS}
ALIGNED = {prompt.id: said("a short answer") for prompt in PROMPTS}


def config(*overrides: str) -> LoopConfig:
    return load_config(None, [*SETTINGS, *overrides])


def pairwise(*overrides: str) -> Pairwise:
    return Pairwise(PROMPTS, config(*overrides), Path())


def judged(answers: Answers, verdicts: dict[str, tuple[str, str]]) -> SuiteResult:
    """The result where the judge says these letters with aligned shown first, and with base shown first."""
    readings: dict[str, Reading] = {}
    for prompt, letters in verdicts.items():
        for order, letter in zip(("model_first", "baseline_first"), letters, strict=True):
            readings[f"{prompt}/aligned/{order}"] = said(letter if " " in letter else f"Verdict: {letter}")
    return pairwise().score(answers, readings)


def test_each_order_is_asked_once_and_shows_the_right_answer_first() -> None:
    tasks = pairwise().judge_tasks({"base": BASE, "aligned": ALIGNED})
    assert len(tasks) == 12
    forward, backward = tasks[:2]
    assert (forward.id, backward.id) == ("p0/aligned/model_first", "p0/aligned/baseline_first")
    first = forward.messages[1]["content"]
    assert first.index("a short answer") < first.index("a much longer answer")
    second = backward.messages[1]["content"]
    assert second.index("a much longer answer") < second.index("a short answer")


def test_wins_ties_and_losses_by_hand() -> None:
    """p0 and p1 won in both orders, p2 lost; p3 a tie and p4 the same place twice, both ties: (2 + 1) / 5."""
    verdicts = {"p0": ("A", "B"), "p1": ("A", "B"), "p2": ("B", "A"), "p3": ("tie", "B"), "p4": ("A", "A")}
    result = judged({"base": BASE, "aligned": ALIGNED}, {**verdicts, "p5": ("both are nice", "B")})
    (win_rate,) = result.metrics
    assert win_rate.values["aligned"] == {"p0": 1.0, "p1": 1.0, "p2": 0.0, "p3": 0.5, "p4": 0.5}
    assert set(win_rate.values["base"].values()) == {0.5}
    found = result.extra["judged"]["aligned"]
    assert found["outcomes"] == {"win": 2, "tie": 2, "loss": 1, "unread": 1, "unanswered": 0}
    assert sum(found["outcomes"].values()) == len(PROMPTS)
    assert (found["judge"]["judged_twice"], found["judge"]["position_bias"]) == (5, 0.2)
    assert found["length_controlled_win_rate"]["rows"] == 5
    assert "without" in found["length_controlled_win_rate"]["formula"]
    assert result.extra["notes"] == [
        "1 of 6 prompts have no verdict on aligned that could be had or read: they are in no figure"
    ]


def test_a_judge_that_answers_nonsense_gives_counts_and_no_figure() -> None:
    result = judged({"base": BASE, "aligned": ALIGNED}, {prompt.id: ("la la la", "la la") for prompt in PROMPTS})
    assert result.metrics[0].values["aligned"] == {}
    found = result.extra["judged"]["aligned"]
    assert found["outcomes"]["unread"] == len(PROMPTS)
    assert found["length_controlled_win_rate"]["value"] is None
    assert all("unparsed" in row["detail"] for row in result.rows)


def test_the_same_answer_is_a_tie_that_nobody_is_asked_about() -> None:
    answers = {"base": BASE, "aligned": {**ALIGNED, "p0": said("A much  longer answer".lower())}}
    assert not [task for task in pairwise().judge_tasks(answers) if task.task_id == "p0"]
    result = judged(answers, {})
    assert result.metrics[0].values["aligned"] == {"p0": 0.5}
    assert result.extra["judged"]["aligned"]["same_answers"] == 1


def test_an_answer_that_failed_is_not_compared() -> None:
    answers = {"base": BASE, "aligned": {**ALIGNED, "p1": failed()}}
    assert not [task for task in pairwise().judge_tasks(answers) if task.task_id == "p1"]
    result = judged(answers, {})
    assert result.counts["aligned"] == {"ok": 5, "timeout": 1}
    assert result.extra["judged"]["aligned"]["outcomes"]["unanswered"] == 1


def test_sources_are_clusters_only_where_that_is_asked_for() -> None:
    answers = {"base": BASE, "aligned": ALIGNED}
    assert pairwise().score(answers, {}).metrics[0].clusters is None
    clusters = pairwise("evaluate.pairwise.clustered=true").score(answers, {}).metrics[0].clusters
    assert clusters == {prompt.id: prompt.source for prompt in PROMPTS}


def test_held_out_prompts_are_read_when_they_are_there(tmp_path: Path) -> None:
    suite = Pairwise.create(config("evaluate.prompts=2"), tmp_path)
    with pytest.raises(InputError, match="no held-out prompts"):
        suite.tasks()
    with PartWriter(tmp_path / "prompts", Prompt) as writer:
        writer.add(PROMPTS)
    assert [task.id for task in suite.tasks()] == ["p0", "p1"]


@pytest.mark.parametrize(
    ("lines", "named"),
    [((), "holds no rows"), (('{"prompt": "x"}', "{"), "p.jsonl:2 not_json"), (('{"q": 1}',), "no_prompt")],
)
def test_a_bad_prompt_file_is_named(tmp_path: Path, lines: tuple[str, ...], named: str) -> None:
    path = write_lines(tmp_path / "p.jsonl", *lines)
    with pytest.raises(InputError, match=r"evaluate\.pairwise\.path") as caught:
        Pairwise.create(config(f"evaluate.pairwise.path={path}"), tmp_path)
    assert named in str(caught.value)


def test_a_missing_prompt_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evaluate\.pairwise\.path .*none\.jsonl does not exist"):
        Pairwise.create(config(f"evaluate.pairwise.path={tmp_path}/none.jsonl"), tmp_path)
