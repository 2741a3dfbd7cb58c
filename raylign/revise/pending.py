"""Which drafts of a run still need a revision, a window at a time: memory stays bounded however many there are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raylign.ids import IdSet
from raylign.parts import part_paths
from raylign.records import Draft, arrow_schema, to_table

WINDOW = 20_000
"""Items handed to the pool at once."""


def windows_of(item: type[Any], waiting: Sequence[Any]) -> Iterator[pa.Table]:
    """Records that are in memory already, in tables of `WINDOW` rows."""
    for start in range(0, len(waiting), WINDOW):
        yield to_table(item, list(waiting[start : start + WINDOW]))


def revisable(drafts: pa.Table) -> pa.ChunkedArray:
    """Which drafts a reviser can improve, [N] booleans: failed and empty ones are never sent."""
    return pc.and_(pc.equal(drafts["status"], "ok"), pc.not_equal(pc.utf8_trim_whitespace(drafts["answer"]), ""))


def count_revisable(drafts_folder: Path) -> int:
    """How many drafts of a folder a reviser can improve."""
    tables = (pq.read_table(path, columns=["status", "answer"]) for path in part_paths(drafts_folder))
    return sum(pc.sum(revisable(table)).as_py() or 0 for table in tables if len(table))


def revised_ids(revisions_folder: Path) -> IdSet:
    """Ids of the drafts whose revision is written."""
    return IdSet(pq.read_table(path, columns=["draft_id"])["draft_id"] for path in part_paths(revisions_folder))


def pending(drafts_folder: Path, revised: IdSet, window: int = WINDOW) -> Iterator[pa.Table]:
    """The drafts that wait for a revision, in tables of about `window` rows."""
    waiting: list[pa.Table] = []
    for path in part_paths(drafts_folder):
        table = pq.read_table(path, columns=arrow_schema(Draft).names).cast(arrow_schema(Draft))
        table = table.filter(revisable(table))
        table = table.filter(pa.array(~revised.contains(table["id"])))
        if len(table):
            waiting.append(table)
        if sum(len(part) for part in waiting) >= window:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
