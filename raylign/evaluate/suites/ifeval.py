"""The suite `ifeval`: does an answer follow instructions that a program can check (arXiv 2311.07911)?

Prompts are scored as published, by the strict and the loose criterion, at the level of prompts and of instructions.
An empty answer, one cut by the token limit and one that the provider's filter stopped are the model's own and are
scored as they are. A task that brought no answer for another reason is in no figure and counted.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.evaluate.ifeval.suite import IfevalRow, IfevalScores, RowOutcome, StrictLoose, read_rows, score
from raylign.evaluate.metric import Metric
from raylign.evaluate.suites.files import configured
from raylign.evaluate.suites.readings import condition, count_conditions, is_own, reading_of
from raylign.evaluate.suites.suite import Answers, JudgeTask, Readings, SuiteResult, Task
from raylign.records import Message, content_id

_RULES = "1"
"""Counted up when a check changes what it says."""


class Ifeval:
    """The rows of an input file as tasks."""

    name = "ifeval"

    def __init__(self, rows: Sequence[IfevalRow]) -> None:
        self.rows = {str(row.key): row for row in rows}
        described = [(row.key, row.prompt, [(one.id, dict(one.arguments)) for one in row.instructions]) for row in rows]
        self.version = f"ifeval@{content_id(_RULES, described)[:12]}"

    @classmethod
    def create(cls, config: LoopConfig, run: Path) -> "Ifeval":
        """The suite over `evaluate.ifeval.path`.

        Raises:
            ConfigError: no file is named.
            InputError: the file is missing or malformed.
        """
        cure = "name IFEval's input file, which is published as input_data.jsonl"
        return cls(read_rows(configured(config.evaluate.ifeval.path, "ifeval", cls.name, cure)))

    def tasks(self) -> list[Task]:
        """Every prompt, as a conversation of one turn."""
        return [Task(key, [Message(role="user", content=row.prompt)]) for key, row in self.rows.items()]

    def judge_tasks(self, answers: Answers) -> list[JudgeTask]:
        """None: programs judge."""
        return []

    def score(self, answers: Answers, verdicts: Readings) -> SuiteResult:
        """Prompts and instructions followed, by both criteria; instructions of a prompt are a cluster."""
        rows: list[dict[str, Any]] = []
        scored = {model: self._scores(readings) for model, readings in answers.items()}
        outcomes = {model: {str(one.key): one for one in found.outcomes} for model, found in scored.items()}
        for model, found in outcomes.items():
            for key, outcome in found.items():
                rows.append(_row(model, outcome, condition(reading_of(answers[model], key))))
        clusters = {f"{key}/{at}": key for key, row in self.rows.items() for at in range(len(row.instructions))}
        metrics = []
        for criterion in ("strict", "loose"):
            followed: dict[str, dict[str, tuple[bool, ...]]] = {
                model: {key: getattr(outcome, criterion) for key, outcome in found.items()}
                for model, found in outcomes.items()
            }
            prompts = {
                model: {key: float(all(marks)) for key, marks in found.items()} for model, found in followed.items()
            }
            instructions = {
                model: {f"{key}/{at}": float(mark) for key, marks in found.items() for at, mark in enumerate(marks)}
                for model, found in followed.items()
            }
            metrics.append(Metric(f"prompt_{criterion}", prompts, True))
            metrics.append(Metric(f"instruction_{criterion}", instructions, True, clusters))
        by_instruction = {
            model: {name: _tally(marks) for name, marks in found.by_instruction.items()}
            for model, found in scored.items()
        }
        counts = count_conditions(self.tasks(), answers)
        return SuiteResult(metrics, counts, rows, {"by_instruction": by_instruction})

    def _scores(self, readings: Readings) -> IfevalScores:
        """Over the rows whose answer is the model's own."""
        answered = {key: row for key, row in self.rows.items() if is_own(reading_of(readings, key))}
        return score(list(answered.values()), {row.key: readings[key].text for key, row in answered.items()})


def _row(model: str, outcome: RowOutcome, became: str) -> dict[str, Any]:
    return {
        "model": model,
        "task_id": str(outcome.key),
        "condition": became,
        "instructions": list(outcome.instruction_ids),
        "strict": list(outcome.strict),
        "loose": list(outcome.loose),
    }


def _tally(found: StrictLoose) -> dict[str, int]:
    return {"strict": found.strict.successes, "loose": found.loose.successes, "total": found.strict.total}
