"""Readings and small suites' inputs for tests of the evaluation."""

import json
from pathlib import Path
from typing import Any

from raylign.evaluate.metric import Metric
from raylign.evaluate.suites.readings import count_conditions, is_own
from raylign.evaluate.suites.suite import Answers, JudgeTask, Reading, Readings, SuiteResult, Task


class Yes:
    """The suite that the interface's docstring shows."""

    name, version = "yes", "yes@1"

    @classmethod
    def create(cls, config: object, run: Path) -> "Yes":
        return cls()

    def tasks(self) -> list[Task]:
        return [Task("1", [{"role": "user", "content": "Say yes."}])]

    def judge_tasks(self, answers: Answers) -> list[JudgeTask]:
        return []

    def score(self, answers: Answers, verdicts: Readings) -> SuiteResult:
        values = {
            model: {id_: float("yes" in one.text.lower()) for id_, one in readings.items() if is_own(one)}
            for model, readings in answers.items()
        }
        return SuiteResult([Metric("said", values, True)], count_conditions(self.tasks(), answers))


def said(text: str, tokens: int | None = None, **columns: Any) -> Reading:
    """A whole answer of as many tokens as words."""
    return Reading(text, len(text.split()) if tokens is None else tokens, **columns)


def failed(status: str = "timeout", detail: str = "no whole reply") -> Reading:
    """No answer at all."""
    return Reading("", 0, "", status, detail)


def write_lines(path: Path, *lines: object) -> Path:
    """A JSONL file of objects, or of texts as they are."""
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def ifeval_lines(count: int = 4) -> list[dict[str, Any]]:
    """Prompts that forbid commas; every second one also asks for fewer than four words."""
    short = {"relation": "less than", "num_words": 4}
    return [
        {
            "key": number,
            "prompt": f"Say number {number} without commas.",
            "instruction_id_list": ["punctuation:no_comma", *["length_constraints:number_words"] * (number % 2)],
            "kwargs": [{}, *[short] * (number % 2)],
        }
        for number in range(count)
    ]
