"""IFEval as a suite: read its input file, score answers to it, add up who follows what (arXiv 2311.07911). Pure.

Scores are counts. Their intervals come from `raylign.evaluate.statistics`; the outcomes of each row are kept for
comparing two models prompt by prompt.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from raylign.errors import InputError
from raylign.evaluate.ifeval.checks import CHECKS, problem_with
from raylign.evaluate.ifeval.loose import loose_variants
from raylign.evaluate.suites.files import read_objects

_CURE = "each line is a JSON object with key, prompt, instruction_id_list and kwargs, as IFEval publishes them"


@dataclass(frozen=True)
class Instruction:
    """One instruction of a prompt: its type, and the arguments of the type's check."""

    id: str
    arguments: Mapping[str, object]


@dataclass(frozen=True)
class IfevalRow:
    """A prompt and the instructions in it, of which there is at least one."""

    key: int
    prompt: str
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class RowOutcome:
    """Which instructions of a row its answer follows, in the row's order."""

    key: int
    instruction_ids: tuple[str, ...]
    strict: tuple[bool, ...]
    loose: tuple[bool, ...]
    status: Literal["ok", "empty", "missing"]
    """Whether there was an answer; an empty or missing one follows nothing."""


class Tally(NamedTuple):
    """Successes out of a total."""

    successes: int
    total: int


class StrictLoose(NamedTuple):
    """The same prompts or instructions, counted by both criteria; loose never counts fewer successes."""

    strict: Tally
    loose: Tally


@dataclass(frozen=True)
class IfevalScores:
    """How many prompts and instructions are followed."""

    prompts: StrictLoose
    """A prompt is followed if all its instructions are."""
    instructions: StrictLoose
    by_instruction: dict[str, StrictLoose]
    """One entry an instruction type that occurs, sorted by id."""
    empty: int
    """Answers with nothing in them but white space; failures of all their instructions, in the totals."""
    missing: int
    """Rows without an answer; failures like the empty ones."""
    outcomes: tuple[RowOutcome, ...]
    """One a row, in the rows' order."""


def read_rows(path: Path) -> list[IfevalRow]:
    """The rows of an input file in IFEval's JSONL format; null arguments are left out, as in the hub's copy.

    Raises:
        InputError: the file is missing, unreadable or empty, or a row is not as published (says file and line).
    """
    rows: dict[int, IfevalRow] = {}
    for place, given in read_objects(path, f"the IFEval input {path}", _CURE):
        row = _parse(given, place)
        if row.key in rows:
            raise InputError(f"{place}: key {row.key} stands on an earlier line, too", "give each row its own")
        rows[row.key] = row
    if not rows:
        raise InputError(f"the IFEval input {path} has no rows", _CURE)
    return list(rows.values())


def score(rows: Sequence[IfevalRow], answers: Mapping[int, str | None]) -> IfevalScores:
    """Score the answers, by row key, against the rows; a row whose key is not among them, or maps to None, is missing.

    An answer whose key is no row's is not looked at, so a part of the rows can be scored.
    """
    outcomes = tuple(_outcome(row, answers.get(row.key)) for row in rows)
    marks_by_id: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for outcome in outcomes:
        for name, strict, loose in zip(outcome.instruction_ids, outcome.strict, outcome.loose, strict=True):
            marks_by_id[name].append((strict, loose))
    return IfevalScores(
        prompts=_count((all(outcome.strict), all(outcome.loose)) for outcome in outcomes),
        instructions=_count(pair for pairs in marks_by_id.values() for pair in pairs),
        by_instruction={name: _count(marks_by_id[name]) for name in sorted(marks_by_id)},
        empty=sum(outcome.status == "empty" for outcome in outcomes),
        missing=sum(outcome.status == "missing" for outcome in outcomes),
        outcomes=outcomes,
    )


def _outcome(row: IfevalRow, answer: str | None) -> RowOutcome:
    ids = tuple(instruction.id for instruction in row.instructions)
    if answer is None or not answer.strip():
        nothing = (False,) * len(ids)
        return RowOutcome(row.key, ids, nothing, nothing, "missing" if answer is None else "empty")
    variants = [variant for variant in dict.fromkeys(loose_variants(answer)) if variant.strip()]
    strict = tuple(_follows(instruction, answer) for instruction in row.instructions)
    loose = tuple(any(_follows(instruction, text) for text in variants) for instruction in row.instructions)
    return RowOutcome(row.key, ids, strict, loose, "ok")


def _follows(instruction: Instruction, response: str) -> bool:
    return CHECKS[instruction.id].follows(response, **instruction.arguments)


def _count(marks: Iterable[tuple[bool, bool]]) -> StrictLoose:
    pairs = list(marks)
    strict, loose = (sum(pair[criterion] for pair in pairs) for criterion in (0, 1))
    return StrictLoose(Tally(strict, len(pairs)), Tally(loose, len(pairs)))


def _parse(row: dict[str, Any], place: str) -> IfevalRow:
    key, prompt = row.get("key"), row.get("prompt")
    if not isinstance(key, int) or isinstance(key, bool):
        raise InputError(f"{place}: key is {key!r}, not a whole number", _CURE)
    if not isinstance(prompt, str) or not prompt.strip():
        raise InputError(f"{place}: prompt is {prompt!r}, not a text", _CURE)
    return IfevalRow(key, prompt, _instructions(row.get("instruction_id_list"), row.get("kwargs"), place))


def _instructions(ids: object, arguments: object, place: str) -> tuple[Instruction, ...]:
    if not isinstance(ids, list) or not ids or not all(isinstance(name, str) for name in ids):
        raise InputError(f"{place}: instruction_id_list is {ids!r}, not a list of instruction ids", _CURE)
    if not isinstance(arguments, list) or not all(isinstance(entry, dict) for entry in arguments):
        raise InputError(f"{place}: kwargs is {arguments!r}, not a list of objects", _CURE)
    if len(arguments) != len(ids):
        raise InputError(f"{place}: {len(ids)} instructions but {len(arguments)} kwargs", _CURE)
    instructions = []
    for name, entry in zip(ids, arguments, strict=True):
        given = {argument: value for argument, value in entry.items() if value is not None}
        problem = problem_with(name, given)
        if problem:
            raise InputError(f"{place}: {problem}", "correct the row or leave it out")
        instructions.append(Instruction(name, given))
    return tuple(instructions)
