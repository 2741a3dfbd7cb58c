"""What the page shows of a run, as plain values: the form between reading the folder and writing the page. Pure."""

from dataclasses import dataclass, field
from typing import Any

from raylign.records import Message


@dataclass(frozen=True)
class ShownAnswer:
    """One model's answer."""

    model: str
    text: str
    tokens: int
    cut_off: bool
    """It ran into the token limit."""


@dataclass(frozen=True)
class AnswerPair:
    """Both models' answers to one held-out prompt, the base model's first."""

    prompt: list[Message]
    sides: tuple[ShownAnswer, ShownAnswer]


@dataclass(frozen=True)
class ExamplePair:
    """One preference pair."""

    prompt: list[Message]
    chosen: str
    rejected: str
    rationale: str


@dataclass(frozen=True)
class RunRecord:
    """A run folder's content as far as it got; a stage that has not finished is missing from `done`."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    starts: list[dict[str, Any]] = field(default_factory=list)
    """`run.json`'s starts, oldest first."""
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Stage name to the figures of its `done.json`, in the order of the loop."""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    """Training lines of `metrics.jsonl`, in order of time."""
    edit_distances: list[float] = field(default_factory=list)
    """Normalised Levenshtein distance of each pair, 0 to 1."""
    length_ratios: list[float] = field(default_factory=list)
    """Characters of chosen over characters of rejected, of each pair."""
    shared_prefixes: list[int] = field(default_factory=list)
    """Tokens that chosen and rejected start with alike, of each pair."""
    pairs: list[ExamplePair] = field(default_factory=list)
    answers: list[AnswerPair] = field(default_factory=list)
    suites: dict[str, Any] = field(default_factory=dict)
    """`evaluate/suites.json`; empty where no suite ran."""
