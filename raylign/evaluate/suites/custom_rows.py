"""Reads the file of the suite `custom`; every line that is not as its docstring says is an error with its number."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raylign.errors import InputError
from raylign.evaluate.suites.files import read_objects
from raylign.prompts.normalise import Problem, conversation
from raylign.records import Message, content_id

KINDS = ("exact", "regex", "numeric", "judge")
_FURTHER = ("prompt", "messages", "id", "source", "max_tokens", "tolerance")
_CURE = f"a line is a JSON object with prompt or messages and one of {', '.join(KINDS)}"
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class CustomRow:
    """One prompt and what its answer is scored by."""

    id: str
    messages: list[Message]
    kind: str
    """One of `KINDS`."""
    target: Any
    """Of `exact` a tuple of texts, of `regex` the pattern, of `numeric` a float, of `judge` the criterion."""
    tolerance: float = _TOLERANCE
    source: str = ""
    max_tokens: int | None = None


def read_custom_rows(path: Path) -> list[CustomRow]:
    """All lines of the file; blank ones are passed over.

    Raises:
        InputError: the file is missing, unreadable or empty, or a line is wrong; says file and line.
    """
    rows: dict[str, CustomRow] = {}
    for place, given in read_objects(path, f"evaluate.custom.path {path}", _CURE):
        row = _parse(given, place)
        if row.id in rows:
            raise InputError(f"{place}: the id {row.id!r} stands on an earlier line, too", "give each line its own")
        rows[row.id] = row
    if not rows:
        raise InputError(f"evaluate.custom.path {path} has no lines", _CURE)
    return list(rows.values())


def _parse(row: dict[str, Any], place: str) -> CustomRow:
    if unknown := sorted(row.keys() - {*KINDS, *_FURTHER}):
        raise InputError(f"{place}: unknown key {unknown[0]!r}", f"allowed: {', '.join((*_FURTHER, *KINDS))}")
    messages = conversation(row, "prompt", "messages")
    if isinstance(messages, Problem):
        raise InputError(f"{place}: {messages.reason} ({messages.detail})", _CURE)
    kinds = [kind for kind in KINDS if row.get(kind) is not None]
    if len(kinds) != 1:
        raise InputError(
            f"{place}: it is scored by {' and '.join(kinds) or 'nothing'}", f"name one of {', '.join(KINDS)}"
        )
    kind = kinds[0]
    target = _TARGETS[kind](row[kind])
    if target is None:
        raise InputError(f"{place}: {kind} is {row[kind]!r}", f"it must be {_ALLOWED[kind]}")
    return CustomRow(
        id=_id(row, place) or content_id("custom", messages, kind, row[kind])[:16],
        messages=messages,
        kind=kind,
        target=target,
        tolerance=_tolerance(row, kind, place),
        source=_text(row, "source", place),
        max_tokens=_max_tokens(row, place),
    )


def _exact(value: object) -> tuple[str, ...] | None:
    texts: list[Any] = value if isinstance(value, list) else [value]
    good = bool(texts) and all(isinstance(text, str) and text.strip() for text in texts)
    return tuple(text.strip() for text in texts) if good else None


def _regex(value: object) -> str | None:
    try:
        return re.compile(value).pattern if isinstance(value, str) and value else None
    except (re.error, RecursionError, OverflowError):
        return None


def _numeric(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None  # type: ignore[arg-type]


def _criterion(value: object) -> str | None:
    return value.strip() if isinstance(value, str) and value.strip() else None


_TARGETS: Mapping[str, Any] = {"exact": _exact, "regex": _regex, "numeric": _numeric, "judge": _criterion}
_ALLOWED = {
    "exact": "a text that is not blank, or a list of such texts",
    "regex": "a Python regular expression",
    "numeric": "a finite number",
    "judge": "a text that says what a good answer must do",
}


def _id(row: dict[str, Any], place: str) -> str:
    value = row.get("id")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(row, "id", place)


def _text(row: dict[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{place}: {key} is {value!r}", "it must be a text that is not blank")
    return value


def _tolerance(row: dict[str, Any], kind: str, place: str) -> float:
    if row.get("tolerance") is None:
        return _TOLERANCE
    value = _numeric(row["tolerance"])
    if kind != "numeric" or value is None or value < 0:
        raise InputError(
            f"{place}: tolerance is {row['tolerance']!r} beside {kind}",
            "it is a number from 0, and beside numeric only",
        )
    return value


def _max_tokens(row: dict[str, Any], place: str) -> int | None:
    value = row.get("max_tokens")
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InputError(f"{place}: max_tokens is {value!r}", "it must be a whole number from 1")
    return value
