"""Reads MixEval's problems from a folder with its published layout. This acts (reads files), and decides nothing else.

    FOLDER/mixeval/free-form.json                  or FOLDER = one of these two, or one level above FOLDER
    FOLDER/mixeval/multiple-choice.json
    FOLDER/mixeval-hard/free-form.json
    FOLDER/mixeval-hard/multiple-choice.json

A file is a JSON object of id -> problem as published, a list of problems, or JSONL. A problem has `prompt`, `target`
and `benchmark_name`, may have a `context`, and has `options` where it is multiple choice.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raylign.errors import InputError
from raylign.evaluate.suites.files import read_text
from raylign.records import content_id

MULTIPLE_CHOICE, FREE_FORM = "multiple-choice", "free-form"
KINDS = (FREE_FORM, MULTIPLE_CHOICE)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CURE = (
    "set evaluate.mixeval.path to a version's folder of MixEval's data, such as mixeval-2024-08-11, with "
    "mixeval/free-form.json, mixeval/multiple-choice.json and the same in mixeval-hard"
)
_ROW = "each problem is an object with prompt, target and benchmark_name, and options where it is multiple choice"


@dataclass(frozen=True)
class Problem:
    """One question."""

    id: str
    """Kind and the file's own id: `multiple-choice/17`."""
    kind: str
    benchmark: str
    """Where MixEval took it from, such as MMLU or TriviaQA."""
    context: str
    """A passage that the question is about; empty where there is none."""
    prompt: str
    options: tuple[str, ...]
    """Without the letters that some benchmarks write before them; empty for free-form."""
    targets: tuple[str, ...]
    """The right option's letter, or every answer that counts as right."""


def read_problems(folder: Path, split: str) -> list[Problem]:
    """All problems of a split, `mixeval` or `mixeval-hard`, free-form first.

    Raises:
        InputError: the folder or a file is missing, unreadable or empty, or a problem is malformed (says which).
    """
    found = _split_folder(folder, split)
    return [problem for kind in KINDS for problem in _read(found, kind)]


def _split_folder(folder: Path, split: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"evaluate.mixeval.path {folder} is not a folder", _CURE)
    names = tuple(dict.fromkeys((split, split.replace("-", "_"))))
    if folder.name in names or _file_of(folder, FREE_FORM) or _file_of(folder, MULTIPLE_CHOICE):
        return folder
    places = [*(folder / name for name in names), *(one / name for one in sorted(folder.iterdir()) for name in names)]
    there = [place for place in places if place.is_dir()]
    if not there:
        raise InputError(f"{folder} has no folder {split}", _CURE)
    if len(there) > 1:
        raise InputError(
            f"{folder} has {split} more than once: {', '.join(str(place.relative_to(folder)) for place in there)}",
            "set evaluate.mixeval.path to the version you mean",
        )
    return there[0]


def _file_of(folder: Path, kind: str) -> Path | None:
    names = (kind, kind.replace("-", "_"), kind.replace("-", ""))
    places = (folder / f"{name}{ending}" for name in names for ending in (".json", ".jsonl"))
    return next((place for place in places if place.is_file()), None)


def _read(folder: Path, kind: str) -> Iterator[Problem]:
    path = _file_of(folder, kind)
    if path is None:
        raise InputError(f"{folder / f'{kind}.json'} is missing", _CURE)
    seen: set[str] = set()
    for name, row in _rows(path):
        problem = _problem(name, row, kind, f"{path}: problem {name!r}")
        if problem.id in seen:
            raise InputError(f"{path}: two problems have the id {name!r}", "give each its own")
        seen.add(problem.id)
        yield problem
    if not seen:
        raise InputError(f"{path} has no problems", _ROW)


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    text = read_text(path, str(path), _CURE)
    try:
        if path.suffix == ".jsonl":
            found: Any = [json.loads(line) for line in text.split("\n") if line.strip()]
        else:
            found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error})", _ROW) from error
    if isinstance(found, dict):
        yield from ((str(name), row) for name, row in found.items())
    elif isinstance(found, list):
        for number, row in enumerate(found):
            yield str(row.get("id", number) if isinstance(row, dict) else number), row
    else:
        raise InputError(f"{path} holds a {type(found).__name__}", _ROW)


def _problem(name: str, row: Any, kind: str, place: str) -> Problem:
    if not isinstance(row, dict):
        raise InputError(f"{place} is a {type(row).__name__}, not an object", _ROW)
    prompt, context, benchmark = row.get("prompt"), row.get("context") or "", row.get("benchmark_name")
    if not isinstance(prompt, str) or not prompt.strip():
        raise InputError(f"{place}: prompt is {prompt!r}, not a text", _ROW)
    if not isinstance(context, str):
        raise InputError(f"{place}: context is {context!r}, neither a text nor null", _ROW)
    if not isinstance(benchmark, str) or not benchmark:
        raise InputError(f"{place}: benchmark_name is {benchmark!r}, not a name", _ROW)
    if row.get("problem_type", kind) != kind:
        raise InputError(f"{place}: problem_type is {row['problem_type']!r} in the file of {kind} problems", _ROW)
    options = _options(row.get("options"), place) if kind == MULTIPLE_CHOICE else ()
    targets = _letter(row.get("target"), options, place) if options else _texts(row.get("target"), place)
    return Problem(f"{kind}/{name}", kind, benchmark, context.strip(), prompt.strip(), options, targets)


def _options(options: Any, place: str) -> tuple[str, ...]:
    if not isinstance(options, list) or not 2 <= len(options) <= len(LETTERS):
        raise InputError(f"{place}: options is not a list of 2 to {len(LETTERS)}", _ROW)
    if not all(isinstance(option, str | int | float) for option in options):
        raise InputError(f"{place}: options is {options!r}, not a list of texts", _ROW)
    texts = [str(option).strip() for option in options]
    own = [re.match(rf"\({letter}\)\s*", text) for letter, text in zip(LETTERS, texts, strict=False)]
    if all(own):  # as AGIEval writes them
        texts = [text[match.end() :] for text, match in zip(texts, own, strict=True) if match]
    return tuple(texts)


def _letter(target: Any, options: tuple[str, ...], place: str) -> tuple[str, ...]:
    only = target[0] if isinstance(target, list) and len(target) == 1 else target
    if isinstance(only, str) and only in LETTERS[: len(options)] and len(only) == 1:
        return (only,)
    if isinstance(only, int) and not isinstance(only, bool) and 0 <= only < len(options):
        return (LETTERS[only],)
    raise InputError(f"{place}: target is {target!r}, not the place of one of {len(options)} options, from 0", _ROW)


def _texts(target: Any, place: str) -> tuple[str, ...]:
    listed = target if isinstance(target, list) else [target]
    texts = tuple(dict.fromkeys(str(one).strip() for one in listed if isinstance(one, str | int | float)))
    if not texts or not all(texts) or len(listed) != sum(isinstance(one, str | int | float) for one in listed):
        raise InputError(f"{place}: target is {target!r}, not a list of answers", _ROW)
    return texts


def passage_of(problem: Problem) -> str:
    """What tells problems on the same passage: empty where it has none of its own."""
    return content_id("passage", problem.context)[:16] if problem.context else ""
