"""The suite `custom`: prompts of your own, each scored as its line says.

`evaluate.custom.path` is a JSONL file. A line is an object with

- `prompt`, a text, or `messages`, a list of {role, content} that ends with a user's turn;
- one of these, by which its answer scores 1 or 0:
  - `exact`: a text, or a list of which one is enough; white space around the answer does not matter;
  - `regex`: a Python regular expression, searched for anywhere in the answer;
  - `numeric`: a number; the last number in the answer is compared with it, within `tolerance` (absolute, 1e-6);
  - `judge`: what a good answer must do, in words; the judge says whether it does;
- if you like: `id` (unique; by default made of prompt and scoring), `source` (lines of one source are a cluster for the
  intervals), `max_tokens`, `tolerance`.

    {"prompt": "What is 6 times 7?", "numeric": 42}
    {"prompt": "Name a primary colour.", "regex": "(?i)\\b(red|yellow|blue)\\b", "source": "colours"}

Any other key, a missing or a second way of scoring, or a value of a wrong kind is an error with file and line.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.evaluate.metric import Metric
from raylign.evaluate.suites.custom_rows import CustomRow, read_custom_rows
from raylign.evaluate.suites.custom_scoring import follows, read_grade
from raylign.evaluate.suites.files import configured
from raylign.evaluate.suites.readings import clusters_of, condition, count_conditions, is_own, reading_of, unread_notes
from raylign.evaluate.suites.suite import Answers, JudgeTask, Reading, Readings, SuiteResult, Task
from raylign.records import Message, content_id
from raylign.revise.templates import render_conversation
from raylign.wording import Wording

_RULES = "1"


class Custom:
    """The lines of a file as tasks."""

    name = "custom"

    def __init__(self, rows: Sequence[CustomRow]) -> None:
        self.rows = {row.id: row for row in rows}
        self.needs_judge = any(row.kind == "judge" for row in rows)
        self.wording = Wording(__package__, "grade")
        described = [(row.id, row.messages, row.kind, row.target, row.tolerance, row.max_tokens) for row in rows]
        self.version = f"custom@{content_id(_RULES, described, self.wording.source if self.needs_judge else '')[:12]}"

    @classmethod
    def create(cls, config: LoopConfig, run: Path) -> "Custom":
        """The suite over `evaluate.custom.path`.

        Raises:
            ConfigError: no file is named.
            InputError: the file is missing or malformed.
        """
        path = config.evaluate.custom.path
        return cls(read_custom_rows(configured(path, "custom", cls.name, "name a JSONL file with your prompts")))

    def tasks(self) -> list[Task]:
        """Every line's prompt."""
        return [Task(row.id, row.messages, row.max_tokens, row.source) for row in self.rows.values()]

    def judge_tasks(self, answers: Answers) -> list[JudgeTask]:
        """One for each model's answer to a line that a judge scores, where there is an answer with text."""
        return [
            JudgeTask(_grade_id(row, model), row.id, self._request(row, reading.text))
            for row in self.rows.values()
            if row.kind == "judge"
            for model, readings in answers.items()
            if is_own(reading := reading_of(readings, row.id)) and reading.text.strip()
        ]

    def score(self, answers: Answers, verdicts: Readings) -> SuiteResult:
        """`correct`, over all lines and over those of each way of scoring where there are several."""
        rows, values = [], {model: dict[str, float]() for model in answers}
        unread: dict[str, int] = dict.fromkeys(answers, 0)
        for model, readings in answers.items():
            for row in self.rows.values():
                reading = reading_of(readings, row.id)
                correct, detail = self._correct(row, model, reading, verdicts)
                if correct is not None:
                    values[model][row.id] = correct
                elif is_own(reading):
                    unread[model] += 1
                rows.append(_outcome(row, model, reading, correct, detail))
        clusters = clusters_of(self.tasks())
        metrics = [Metric("correct", values, True, clusters)]
        kinds = sorted({row.kind for row in self.rows.values()})
        for kind in kinds if len(kinds) > 1 else []:
            metrics.append(Metric(f"correct_{kind}", self._of_kind(values, kind), True, clusters))
        extra: dict[str, Any] = {"unread_verdicts": unread} if self.needs_judge else {}
        return SuiteResult(metrics, count_conditions(self.tasks(), answers), rows, extra | unread_notes(unread))

    def _request(self, row: CustomRow, answer: str) -> list[Message]:
        shown = {"task": render_conversation(row.messages), "answer": answer, "criterion": str(row.target)}
        return [Message(role=role, content=self.wording.block(role, **shown)) for role in ("system", "user")]

    def _correct(self, row: CustomRow, model: str, reading: Reading, verdicts: Readings) -> tuple[float | None, str]:
        """1 or 0, or None where nothing can be said; and why."""
        if not is_own(reading):
            return None, reading.detail
        if row.kind != "judge":
            return float(follows(row, reading.text)), ""
        if not reading.text.strip():
            return 0.0, "an answer without text meets no criterion"
        grade = read_grade(reading_of(verdicts, _grade_id(row, model)))
        return (None if grade.passed is None else float(grade.passed)), grade.detail

    def _of_kind(self, values: Mapping[str, Mapping[str, float]], kind: str) -> dict[str, dict[str, float]]:
        return {
            model: {id_: value for id_, value in found.items() if self.rows[id_].kind == kind}
            for model, found in values.items()
        }


def _grade_id(row: CustomRow, model: str) -> str:
    return f"{row.id}/{model}"


def _outcome(row: CustomRow, model: str, reading: Reading, correct: float | None, detail: str) -> dict[str, Any]:
    return {
        "model": model,
        "task_id": row.id,
        "kind": row.kind,
        "condition": condition(reading),
        "answer": reading.text,
        "correct": correct,
        "detail": detail,
    }
