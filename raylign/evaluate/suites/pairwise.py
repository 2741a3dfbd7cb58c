"""The suite `pairwise`: a judge compares each model's answers with the baseline's, each standing first once.

The judge reads raylign's own template, that of the judge stage; its content is part of the suite's version. A model
wins or loses a prompt where both orders name the same answer; all else is a tie. `win_rate` counts a tie as half. The
baseline stands at one half, by definition: it is compared with itself. The length-controlled win rate stands beside it.
Answers that say the same are a tie without a judge. A prompt whose answers or verdicts could not be had or read is in
no figure, and counted.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.evaluate.judging import PREFERENCE, outcome, summarise_verdicts
from raylign.evaluate.length_controlled import length_controlled
from raylign.evaluate.metric import Metric
from raylign.evaluate.suites.prompts import heldout_prompts, read_prompt_file
from raylign.evaluate.suites.readings import clusters_of, count_conditions, is_own, reading_of
from raylign.evaluate.suites.suite import Answers, JudgeTask, Reading, Readings, SuiteResult, Task
from raylign.judge.verdict import read_verdict
from raylign.records import Message, Prompt, content_id
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply
from raylign.revise.templates import render_conversation
from raylign.wording import Wording

_RULES = "1"
_PREFERENCES: Mapping[str, float] = {str(name): value for name, value in PREFERENCE.items()}
_ORDERS = ("model_first", "baseline_first")


class Pairwise:
    """Prompts whose answers are compared, by two models at a time: the baseline and each other one."""

    name = "pairwise"
    needs_judge = True

    def __init__(self, prompts: Sequence[Prompt] | None, config: LoopConfig, run: Path) -> None:
        """Compare on these prompts, or without any on the run's held-out ones."""
        self.given, self.run, self.evaluate, self.seed = prompts, run, config.evaluate, config.seed
        self.wording = Wording("raylign.judge", "judge")

    @classmethod
    def create(cls, config: LoopConfig, run: Path) -> "Pairwise":
        """The suite over `evaluate.pairwise.path`, or the run's held-out prompts.

        Raises:
            InputError: the file is missing or malformed.
        """
        path = config.evaluate.pairwise.path
        return cls(None if path is None else read_prompt_file(path, config), config, run)

    @cached_property
    def prompts(self) -> Sequence[Prompt]:
        """What is asked.

        Raises:
            InputError: the run has no held-out prompts.
        """
        return heldout_prompts(self.run, self.evaluate.prompts) if self.given is None else self.given

    @cached_property
    def version(self) -> str:
        """Of the rules, the judge's template and the prompts."""
        return f"pairwise@{content_id(_RULES, self.wording.source, [prompt.id for prompt in self.prompts])[:12]}"

    def tasks(self) -> list[Task]:
        """Every prompt, with its source where sources are clusters."""
        clustered = self.evaluate.pairwise.clustered
        return [Task(one.id, one.messages, None, one.source if clustered else "") for one in self.prompts]

    def judge_tasks(self, answers: Answers) -> list[JudgeTask]:
        """Both orders of every prompt that both models answered differently."""
        return [
            JudgeTask(_judge_id(task.id, model, order), task.id, self._request(task, shown))
            for task in self.tasks()
            for model, (mine, theirs) in _compared(task.id, answers).items()
            if _to_judge(mine, theirs)
            for order, shown in zip(_ORDERS, ((mine, theirs), (theirs, mine)), strict=True)
        ]

    def score(self, answers: Answers, verdicts: Readings) -> SuiteResult:
        """Win rates over the baseline, and how far the judge can be trusted."""
        tasks = self.tasks()
        baseline = next(iter(answers))
        values: dict[str, dict[str, float]] = {baseline: {task.id: 0.5 for task in tasks}}
        rows: list[dict[str, Any]] = []
        judged: dict[str, Any] = {}
        notes: list[str] = []
        for model in list(answers)[1:]:
            found = [_outcome(task, model, answers, verdicts) for task in tasks]
            rows += found
            values[model] = {row["task_id"]: row["preference"] for row in found if row["preference"] is not None}
            judged[model] = self._judged(found)
            if lost := sum(row["outcome"] == "unread" for row in found):
                notes.append(_unread_note(lost, len(tasks), model))
        metrics = [Metric("win_rate", values, True, clusters_of(tasks))]
        extra = {"baseline_win_rate": "0.5 by definition", "judged": judged} | ({"notes": notes} if notes else {})
        return SuiteResult(metrics, count_conditions(tasks, answers), rows, extra)

    def _request(self, task: Task, shown: tuple[Reading, Reading]) -> list[Message]:
        texts = {"task": render_conversation(task.messages), "first": shown[0].text, "second": shown[1].text}
        return [Message(role=role, content=self.wording.block(role, **texts)) for role in ("system", "user")]

    def _judged(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Counts of outcomes, which sum to the prompts; the judge's agreement; the length-controlled win rate."""
        asked = {row["task_id"]: (row["model_first"], row["baseline_first"]) for row in rows if row["asked"]}
        counted = [row for row in rows if row["preference"] is not None]
        with_lengths = [row for row in counted if row["tokens_counted"]]
        controlled = length_controlled(
            [row["preference"] for row in with_lengths],
            [float(row["tokens"]) for row in with_lengths],
            [float(row["baseline_tokens"]) for row in with_lengths],
            resamples=self.evaluate.bootstrap_samples,
            seed=self.seed,
        )
        names = ("win", "tie", "loss", "unread", "unanswered")
        return {
            "outcomes": {name: sum(row["outcome"] == name for row in rows) for name in names},
            "same_answers": sum(row["outcome"] == "tie" and not row["asked"] for row in rows),
            "judge": summarise_verdicts(asked),
            "length_controlled_win_rate": controlled.shown(),
        }


def _unread_note(lost: int, prompts: int, model: str) -> str:
    return f"{lost} of {prompts} prompts have no verdict on {model} that could be had or read: they are in no figure"


def _compared(task_id: str, answers: Answers) -> dict[str, tuple[Reading, Reading]]:
    """Each model's answer beside the baseline's."""
    (_, baseline), *others = answers.items()
    return {model: (reading_of(readings, task_id), reading_of(baseline, task_id)) for model, readings in others}


def _to_judge(mine: Reading, theirs: Reading) -> bool:
    return is_own(mine) and is_own(theirs) and mine.text.split() != theirs.text.split()


def _judge_id(task_id: str, model: str, order: str) -> str:
    return f"{task_id}/{model}/{order}"


def _outcome(task: Task, model: str, answers: Answers, verdicts: Readings) -> dict[str, Any]:
    """One prompt's row: what the judge said in both orders, and what follows."""
    mine, theirs = _compared(task.id, answers)[model]
    asked = _to_judge(mine, theirs)
    said = dict.fromkeys(_ORDERS, "")
    details = []
    if asked:
        for order in _ORDERS:
            verdict = reading_of(verdicts, _judge_id(task.id, model, order))
            said[order], detail = _read(verdict)
            details += [f"{order}: {detail}"] if detail else []
    if not (is_own(mine) and is_own(theirs)):
        name = "unanswered"
        details.append(f"{model} {mine.status}, baseline {theirs.status}")
    else:
        name = (outcome(said["model_first"], said["baseline_first"]) or "unread") if asked else "tie"
    return {
        "task_id": task.id,
        "model": model,
        "asked": asked,
        **said,
        "outcome": name,
        "preference": _PREFERENCES.get(name),  # none for unread and unanswered
        "tokens": mine.tokens,
        "baseline_tokens": theirs.tokens,
        "tokens_counted": all(one.tokens or not one.text for one in (mine, theirs)),
        "detail": "; ".join(details),
    }


def _read(reading: Reading) -> tuple[str, str]:
    """The place that a judge's reply names, or `tie`; empty, and why, where it could not be had or read."""
    if reading.status != Reason.OK:
        return "", f"{reading.status}: {reading.detail}"
    verdict = read_verdict(Reply(text=reading.text, finish_reason=reading.finish_reason))
    return verdict.choice, "" if verdict.status == Reason.OK else f"{verdict.status}: {verdict.detail}"
