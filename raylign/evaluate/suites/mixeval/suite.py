"""The suites `mixeval` and `mixeval_hard` (Ni et al., arXiv 2406.06565): questions of many benchmarks in two halves.

`evaluate.mixeval.path` names a folder with MixEval's published layout (`raylign.evaluate.suites.mixeval.data`).
Multiple choice and free-form answers are each read as configured: by `rule`, or by `model`, the judge.

- `score` is MixEval's overall score: the mean over the two halves' means, whatever their sizes. An answer from which no
  choice can be read counts 0 in it, and is counted as unparsed; MixEval's own script draws a score at random.
- `score_parsed` is the same over the answers that could be read alone.
- `multiple_choice`, `free_form` and `benchmark.NAME` are plain means over their questions, unparsed ones as 0.

A verdict that could not be had or read says nothing of the model: the row is in no figure, and counted. Questions on
the same passage are a cluster. Benchmarks are not: they are what MixEval is made of, and not a sample of benchmarks.
Departures from MixEval: our own prompts, which ask for a marked last line, and our own judge's prompts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.evaluate.metric import Metric
from raylign.evaluate.suites.files import configured
from raylign.evaluate.suites.mixeval.answers import score_answer
from raylign.evaluate.suites.mixeval.choices import read_choice
from raylign.evaluate.suites.mixeval.data import (
    FREE_FORM,
    LETTERS,
    MULTIPLE_CHOICE,
    Problem,
    passage_of,
    read_problems,
)
from raylign.evaluate.suites.mixeval.verdicts import read_option, read_score
from raylign.evaluate.suites.readings import clusters_of, condition, count_conditions, is_own, reading_of, unread_notes
from raylign.evaluate.suites.suite import Answers, JudgeTask, Reading, Readings, SuiteResult, Task
from raylign.records import Message, content_id
from raylign.wording import Wording

_RULES = "1"
"""To be raised where a rule of reading changes: answers scored by other rules are not these."""


class Mixeval:
    """One split's problems as tasks."""

    name = "mixeval"
    split = "mixeval"

    def __init__(self, problems: Sequence[Problem], parsers: Mapping[str, str]) -> None:
        self.problems = {problem.id: problem for problem in problems}
        self.parsers = dict(parsers)
        self.needs_judge = "model" in self.parsers.values()
        self.asking, self.judging = Wording(__package__, "ask"), Wording(__package__, "judge")
        data = [(one.id, one.context, one.prompt, one.options, one.targets) for one in problems]
        judged = self.judging.source if self.needs_judge else ""
        self.version = f"{self.name}@{content_id(_RULES, data, self.asking.source, judged, self.parsers)[:12]}"

    @classmethod
    def create(cls, config: LoopConfig, run: Path) -> "Mixeval":
        """The suite over `evaluate.mixeval.path`.

        Raises:
            ConfigError: no folder is named.
            InputError: the folder or a file is missing, or a problem is malformed.
        """
        mixeval = config.evaluate.mixeval
        cure = "name a version's folder of MixEval's data, such as mixeval-2024-08-11"
        folder = configured(mixeval.path, "mixeval", cls.name, cure)
        parsers = {MULTIPLE_CHOICE: mixeval.multiple_choice, FREE_FORM: mixeval.free_form}
        return cls(read_problems(folder, cls.split), parsers)

    def tasks(self) -> list[Task]:
        """Every problem's question; those on one passage share a source."""
        return [
            Task(one.id, [Message(role="user", content=self._question(one))], None, passage_of(one))
            for one in self.problems.values()
        ]

    def judge_tasks(self, answers: Answers) -> list[JudgeTask]:
        """One for each model's answer with text, of the kinds that a model reads."""
        return [
            JudgeTask(_judge_id(one, model), one.id, [Message(role="user", content=self._judgement(one, reading.text))])
            for one in self.problems.values()
            if self.parsers[one.kind] == "model"
            for model, readings in answers.items()
            if is_own(reading := reading_of(readings, one.id)) and reading.text.strip()
        ]

    def score(self, answers: Answers, verdicts: Readings) -> SuiteResult:
        """The figures, and what became of each answer."""
        rows = [
            self._row(one, model, reading_of(readings, one.id), verdicts)
            for model, readings in answers.items()
            for one in self.problems.values()
        ]
        parsing = {
            model: dict(Counter(row["parsing"] for row in rows if row["model"] == model).most_common())
            for model in answers
        }
        unread = {model: found.get("judge_unread", 0) for model, found in parsing.items()}
        extra: dict[str, Any] = {"parsers": self.parsers, "parsing": parsing} | unread_notes(unread)
        return SuiteResult(self._metrics(rows, answers), count_conditions(self.tasks(), answers), rows, extra)

    def _question(self, problem: Problem) -> str:
        shown = {"context": problem.context, "prompt": problem.prompt}
        if problem.kind == FREE_FORM:
            return self.asking.block("free_form", **shown)
        return self.asking.block("multiple_choice", **shown, options=_listed(problem), example="A")

    def _judgement(self, problem: Problem, answer: str) -> str:
        question = f"{problem.context}\n\n{problem.prompt}" if problem.context else problem.prompt
        if problem.kind == MULTIPLE_CHOICE:
            return self.judging.block("multiple_choice", question=question, options=_listed(problem), answer=answer)
        targets = "\n".join(f"- {target}" for target in problem.targets)
        return self.judging.block("free_form", question=question, targets=targets, answer=answer)

    def _row(self, problem: Problem, model: str, reading: Reading, verdicts: Readings) -> dict[str, Any]:
        parsing, said, value = self._read(problem, model, reading, verdicts)
        return {
            "model": model,
            "task_id": problem.id,
            "benchmark": problem.benchmark,
            "condition": condition(reading),
            "parsing": parsing,
            "said": said,
            "target": " | ".join(problem.targets),
            "score": value,
            "answer": reading.text,
        }

    def _read(
        self, problem: Problem, model: str, reading: Reading, verdicts: Readings
    ) -> tuple[str, str, float | None]:
        """`parsed`, `unparsed`, or why the row is in no figure; what was read; the score, 0 for unparsed."""
        if not is_own(reading):
            return "no_answer", reading.detail, None
        if not reading.text.strip():
            return "unparsed", "", 0.0
        letters = LETTERS[: len(problem.options)]
        if self.parsers[problem.kind] == "rule":
            if problem.kind == MULTIPLE_CHOICE:
                return _of_choice(read_choice(reading.text, problem.options), problem)
            found = score_answer(reading.text, problem.targets)
            return ("unparsed", "", 0.0) if found is None else ("parsed", "", found)
        verdict = reading_of(verdicts, _judge_id(problem, model))
        if verdict.status != "ok":
            return "judge_unread", f"{verdict.status}: {verdict.detail}", None
        read = read_option(verdict.text, letters) if problem.options else read_score(verdict.text)
        if not read.is_read:
            return "judge_unread", verdict.text[-200:], None
        if problem.kind == MULTIPLE_CHOICE:
            return _of_choice(read.said, problem)
        return ("unparsed", "", 0.0) if read.said is None else ("parsed", read.said, float(read.said))

    def _metrics(self, rows: Sequence[Mapping[str, Any]], answers: Answers) -> list[Metric]:
        scored = [row for row in rows if row["score"] is not None]
        parsed = [row for row in scored if row["parsing"] == "parsed"]
        clusters = clusters_of(self.tasks())

        def metric(name: str, chosen: Sequence[Mapping[str, Any]], weighted: bool = False) -> Metric:
            weights = self._weights(chosen) if weighted else {}
            values: dict[str, dict[str, float]] = {model: {} for model in answers}
            for row in chosen:
                id_ = row["task_id"]
                values[row["model"]][id_] = row["score"] * weights.get((row["model"], self.problems[id_].kind), 1.0)
            return Metric(name, values, True, clusters)

        metrics = [metric("score", scored, weighted=True), metric("score_parsed", parsed, weighted=True)]
        for kind in (MULTIPLE_CHOICE, FREE_FORM):
            of_kind = [row for row in scored if self.problems[row["task_id"]].kind == kind]
            metrics.append(metric(kind.replace("-", "_"), of_kind))
        for benchmark in sorted({one.benchmark for one in self.problems.values()}):
            metrics.append(metric(f"benchmark.{benchmark}", [row for row in scored if row["benchmark"] == benchmark]))
        return metrics

    def _weights(self, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
        """What a row of each half counts, so that the mean over a model's rows is that over the halves' means.

        Published halves are of one size, and all weights are 1 where every answer counts. A model with rows of one half
        only has its mean.
        """
        sizes = Counter((row["model"], self.problems[row["task_id"]].kind) for row in rows)
        totals = Counter(row["model"] for row in rows)
        halves = Counter(model for model, _ in sizes)
        return {(model, kind): totals[model] / (halves[model] * size) for (model, kind), size in sizes.items()}


class MixevalHard(Mixeval):
    """The hard split."""

    name = "mixeval_hard"
    split = "mixeval-hard"


def _of_choice(letter: str | None, problem: Problem) -> tuple[str, str, float]:
    return ("unparsed", "", 0.0) if letter is None else ("parsed", letter, float(letter in problem.targets))


def _listed(problem: Problem) -> str:
    return "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, problem.options, strict=False))


def _judge_id(problem: Problem, model: str) -> str:
    return f"{problem.id}/{model}"
