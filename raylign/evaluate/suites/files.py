"""Reads the files that suites are given; what is wrong with one is an error with its place. This acts (reads files)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raylign.errors import ConfigError, InputError


def configured(path: str | None, section: str, suite: str, cure: str) -> Path:
    """What `evaluate.SECTION.path` names.

    Raises:
        ConfigError: it names nothing.
    """
    if path is None:
        raise ConfigError(f"evaluate.{section}.path is null while the suite {suite} runs", cure)
    return Path(path).expanduser()


def read_text(path: Path, named: str, cure: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Args:
        named: How an error calls the file, its path included.

    Raises:
        InputError: it is missing, unreadable, or another encoding.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"{named} cannot be read: {reason}", cure) from error


def read_objects(path: Path, named: str, cure: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSONL file, each with its place for errors, `PATH:LINE`; blank lines are passed over.

    Raises:
        InputError: as `read_text`; or a line is not JSON, or no object.
    """
    for number, line in enumerate(read_text(path, named, cure).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place}: not JSON ({error})", cure) from error
        if not isinstance(row, dict):
            raise InputError(f"{place}: a {type(row).__name__}, not an object", cure)
        yield place, row
