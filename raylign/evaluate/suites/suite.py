"""The interface between the runner, which asks models and a judge, and a suite, which says what and scores. Pure.

A suite never calls a model. The runner has every model answer `tasks()`, gives what came back to `judge_tasks()`, has
the judge answer those, and hands both to `score()`. A suite of one's own, in full:

    class Yes:
        name, version = "yes", "yes@1"

        @classmethod
        def create(cls, config, run):
            return cls()

        def tasks(self):
            return [Task("1", [{"role": "user", "content": "Say yes."}])]

        def judge_tasks(self, answers):
            return []

        def score(self, answers, verdicts):
            values = {
                model: {id_: float("yes" in one.text.lower()) for id_, one in readings.items() if is_own(one)}
                for model, readings in answers.items()
            }
            return SuiteResult([Metric("said", values, True)], count_conditions(self.tasks(), answers))

In `mine.py` it runs by `--suite mine:Yes`. `is_own` and `count_conditions` are in `raylign.evaluate.suites.readings`,
when `create` is called and what it may read in `raylign.evaluate.suites.registry`. A suite that needs a judge says so
by an attribute `needs_judge = True`, and is then refused before anything starts where there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard

from raylign.evaluate.metric import Metric
from raylign.records import Message, Pair


@dataclass(frozen=True)
class Task:
    """A conversation that every model is to answer."""

    id: str
    """Unique in its suite; rows of a metric are named by it."""
    messages: list[Message]
    max_tokens: int | None = None
    """Longest answer, in tokens; None for `evaluate.max_tokens`."""
    source: str = ""
    """Where it comes from; tasks of one source may be a cluster."""


@dataclass(frozen=True)
class JudgeTask:
    """A whole request to the judge."""

    id: str
    """Unique in its suite."""
    task_id: str
    """The task whose answers are judged."""
    messages: list[Message]


@dataclass(frozen=True)
class Reading:
    """A model's answer, or a judge's reply, as a suite sees it."""

    text: str
    tokens: int = 0
    """As the endpoint counted them; 0 where it did not."""
    finish_reason: str = "stop"
    """`length` where the token limit cut the text."""
    status: str = "ok"
    """`ok`, or the reason from `raylign.revise.reasons` why there is no text."""
    detail: str = ""


Readings = Mapping[str, Reading]
"""By task id, or judge task id."""
Answers = Mapping[str, Readings]
"""By model, the baseline first, then task id; every task has a reading for every model."""


@dataclass(frozen=True)
class SuiteResult:
    """What a suite found out."""

    metrics: list[Metric]
    counts: dict[str, dict[str, int]]
    """Model -> what became of a task -> rows; a model's counts sum to the number of tasks."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """The outcome of each row and model, for the record: flat, with the same keys in all."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further figures of this suite, as JSON."""


class Suite(Protocol):
    """One suite, made from the configuration by its factory in `raylign.evaluate.suites.registry`."""

    @property
    def name(self) -> str:
        """What `evaluate.suites` calls it."""

    @property
    def version(self) -> str:
        """Content hash over its data, prompt templates and rules; stands in every row's id and in the result."""

    def tasks(self) -> list[Task]:
        """What every model is asked; may be empty."""

    def judge_tasks(self, answers: Answers) -> list[JudgeTask]:
        """What the judge is asked about the answers; empty where none is needed."""

    def score(self, answers: Answers, verdicts: Readings) -> SuiteResult:
        """The figures. A row without an answer, or without a verdict that can be read, is counted, never guessed."""


@dataclass(frozen=True)
class PairLikelihood:
    """How likely a model finds the two answers of a preference pair, given its prompt."""

    chosen: float
    """Log-probability of the chosen answer, summed over its tokens and its end of turn, in nats."""
    rejected: float
    chosen_tokens: int
    rejected_tokens: int


class LikelihoodSuite(Protocol):
    """A suite over likelihoods instead of answers: it has these beside `name` and `version`, and no tasks.

    Only models whose weights are at hand, the run's base and aligned, can be measured.
    """

    @property
    def name(self) -> str:
        """As a `Suite`'s."""

    @property
    def version(self) -> str:
        """As a `Suite`'s."""

    def pairs(self) -> list[Pair]:
        """The preference pairs to measure."""

    def score_pairs(
        self, likelihoods: Mapping[str, Mapping[str, PairLikelihood]], dropped: Mapping[str, int]
    ) -> SuiteResult:
        """The figures.

        Args:
            likelihoods: Model, the baseline first, -> pair id -> likelihoods; the same pairs for every model.
            dropped: How many pairs could not be measured, by reason.
        """


def is_over_likelihoods(suite: Suite | LikelihoodSuite) -> TypeGuard[LikelihoodSuite]:
    """Which of the two kinds a suite is; its properties, which may read what is not there yet, are left alone."""
    return hasattr(type(suite), "score_pairs")
