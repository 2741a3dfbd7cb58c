"""Reads the rows of a file as they are (JSONL, Parquet, a folder saved by `datasets`), one at a time.

Prompts and pairs to import come in these forms. `section` is the configuration's that names the file, for errors.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raylign.errors import InputError
from raylign.prompts.normalise import SOURCE_FIELD, Problem

BUNDLED = "bundled"
BUNDLED_FILE = "everyday.jsonl"
ROWS_AT_A_TIME = 1000
_SUFFIXES = {".jsonl": "jsonl", ".parquet": "parquet"}

Rows = Iterator[tuple[int, object]]
"""Line or row number from 1 on, and the row: a decoded value, or a Problem where it cannot be decoded."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a format that stores columns are read."""

    needed: tuple[str, ...]
    """One of them at least must be there."""
    further: tuple[str, ...] = (SOURCE_FIELD,)
    cure: str = "name the column in prompts.prompt_field (text) or prompts.messages_field (conversations)"
    """What to do where none is."""


def locate(path: str, section: str = "prompts") -> AbstractContextManager[Path]:
    """The file or folder behind the section's `path`, for the duration of the block.

    Raises:
        InputError: there is nothing at the path.
    """
    if path == BUNDLED and section == "prompts":
        return as_file(files("raylign.prompts").joinpath("data", BUNDLED_FILE))
    found = Path(path).expanduser()
    if not found.exists():
        raise InputError(
            f"{section}.path {path} does not exist",
            f"{_what_is_read(section)}; "
            "a hub data set is saved first with `datasets.load_dataset(...).save_to_disk(folder)`",
        )
    return nullcontext(found)


def read_rows(path: Path, file_format: str, columns: Columns, section: str = "prompts") -> Rows:
    """The rows of `path`; of formats that store columns only `columns` are read.

    Raises:
        InputError: the format cannot be told, or the file is not of the format, unreadable, or has no needed column.
    """
    readers: dict[str, Callable[[Path, Columns, str], Rows]] = {
        "jsonl": _jsonl_rows,
        "parquet": _parquet_rows,
        "dataset": _dataset_rows,
    }
    name = format_of(path, section) if file_format == "auto" else file_format
    try:
        yield from readers[name](path, columns, section)
    except (OSError, ValueError, pa.ArrowException) as error:  # the last two: not what its name says
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(
            f"{section}.path {path} cannot be read as {name}: {reason}",
            f"{_what_is_read(section)}; see also {section}.format",
        ) from error


def format_of(path: Path, section: str = "prompts") -> str:
    """The format of a path by its suffix, `dataset` for a folder.

    Raises:
        InputError: the suffix says nothing.
    """
    if path.is_dir():
        return "dataset"
    name = _SUFFIXES.get(path.suffix.lower())
    if name is None:
        raise InputError(
            f"{section}.path {path} has the suffix '{path.suffix}', which names no known format",
            f"set {section}.format to jsonl or parquet, or rename the file to .jsonl or .parquet",
        )
    return name


def _what_is_read(section: str) -> str:
    forms = "a .jsonl or .parquet file, a folder saved by `datasets`"
    return f"{section}.path is {forms}, or `bundled`" if section == "prompts" else f"{section}.path is {forms}"


def _jsonl_rows(path: Path, columns: Columns, section: str) -> Rows:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
            if text:
                yield number, _decode(text)


def _decode(line: bytes) -> object:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Problem("bad_encoding", f"not UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        return Problem("not_json", f"{error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or nesting as deep
        return Problem("not_json", str(error))


def _parquet_rows(path: Path, columns: Columns, section: str) -> Rows:
    with pq.ParquetFile(path) as file:
        wanted = _present(path, file.schema_arrow.names, columns, section)
        yield from _table_rows(file.iter_batches(batch_size=ROWS_AT_A_TIME, columns=wanted))


def _dataset_rows(path: Path, columns: Columns, section: str) -> Rows:
    from datasets import DatasetDict, load_from_disk  # only this format needs it, and it takes seconds to import

    try:
        saved = load_from_disk(str(path))
    except (KeyError, TypeError) as error:
        raise ValueError(f"its state.json or dataset_info.json is damaged ({error!r})") from error
    if isinstance(saved, DatasetDict):
        if "train" not in saved:
            splits = sorted(str(name) for name in saved)
            raise InputError(
                f"{section}.path {path} has no split 'train', only {', '.join(splits) or 'none'}",
                f"name one split's folder, such as {path / splits[0]}" if splits else "save a data set with rows in it",
            )
        saved = saved["train"]
    wanted = _present(path, saved.column_names, columns, section)
    tables = saved.select_columns(wanted).with_format("arrow").iter(batch_size=ROWS_AT_A_TIME)
    yield from _table_rows(batch for table in tables for batch in table.to_batches())


def _present(path: Path, available: list[str], columns: Columns, section: str) -> list[str]:
    if not any(name in available for name in columns.needed):
        raise InputError(
            f"{section}.path {path} has no column {' or '.join(repr(name) for name in columns.needed)}, "
            f"only {', '.join(available) or 'none'}",
            columns.cure,
        )
    return [name for name in dict.fromkeys((*columns.needed, *columns.further)) if name in available]


def _table_rows(batches: Iterable[pa.RecordBatch]) -> Rows:
    number = 0
    for batch in batches:
        for row in _batch_rows(batch):
            number += 1
            yield number, row


def _batch_rows(batch: pa.RecordBatch) -> list[object]:
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError as error:  # Arrow checks no text when it reads: find the rows at fault one by one
        if batch.num_rows == 1:
            return [Problem("bad_encoding", f"not UTF-8 at byte {error.start}")]
        return [row for index in range(batch.num_rows) for row in _batch_rows(batch.slice(index, 1))]
