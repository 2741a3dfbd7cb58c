"""A folder of Parquet parts: rows are written as they arrive and found again after a stop.

Every part is written under a hidden name and renamed, so a reader never sees half a file, and a stage that
was stopped knows from the ids on disk what is left to do.
"""

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raylign.records import arrow_schema, to_table


def part_paths(folder: Path) -> list[Path]:
    """The finished parts of a folder, in the order they were written; none if there is no folder."""
    return sorted(folder.glob("part-*.parquet"))


def part_path(folder: Path, number: int) -> Path:
    """Where a part with this number lies."""
    return folder / f"part-{number:05d}.parquet"


def next_number(folder: Path) -> int:
    """The number after that of the folder's last part."""
    return 1 + max((int(path.stem.split("-")[1]) for path in part_paths(folder)), default=-1)


def read_parts(folder: Path, record: type, columns: list[str] | None = None) -> pa.Table:
    """All rows of a folder as one table in the record's schema (empty where there are none)."""
    schema = arrow_schema(record)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    tables = [pq.read_table(path, columns=schema.names, schema=None) for path in part_paths(folder)]
    return pa.concat_tables([table.cast(schema) for table in tables]) if tables else schema.empty_table()


def read_records(folder: Path, record: type) -> list[Any]:
    """All rows of a folder as record objects."""
    return [record(**row) for row in read_parts(folder, record).to_pylist()]


def written_ids(folder: Path, column: str) -> set[str]:
    """Values of an id column over all finished parts."""
    found: set[str] = set()
    for path in part_paths(folder):
        found.update(pq.read_table(path, columns=[column])[column].to_pylist())
    return found


def write_table(path: Path, table: pa.Table) -> None:
    """Write one Parquet file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pq.write_table(table, hidden, compression="zstd")
    hidden.replace(path)


class PartWriter:
    """Collects rows of one record class and writes a part every `rows_per_part` rows or `seconds_per_part`."""

    def __init__(self, folder: Path, record: type, rows_per_part: int = 1000, seconds_per_part: float = 10.0) -> None:
        self.folder = folder
        self.record = record
        self.rows_per_part = rows_per_part
        self.seconds_per_part = seconds_per_part
        self.waiting: list[Any] = []
        self.flushed_at = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob(".*.tmp"):
            left_over.unlink()
        self.next_number = next_number(folder)

    def add(self, rows: list[Any]) -> None:
        """Take rows; they are on disk after the next flush."""
        self.waiting.extend(rows)
        due = time.monotonic() - self.flushed_at >= self.seconds_per_part
        if len(self.waiting) >= self.rows_per_part or due:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if self.waiting:
            write_table(part_path(self.folder, self.next_number), to_table(self.record, self.waiting))
            self.next_number += 1
            self.waiting = []
        self.flushed_at = time.monotonic()

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
