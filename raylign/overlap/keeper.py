"""Makes every draft durable before anything is asked about it. This acts (files, on the driver's host).

A draft of a temperature above zero cannot be made again. One that was lost after its revision was paid for would be
drafted anew, differently, and paid for again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raylign.parts import next_number, part_path, read_parts, write_table, written_ids
from raylign.records import Draft, to_table
from raylign.revise.pending import revisable
from raylign.sample.drafts import Batch
from raylign.sample.speed import EngineSpeed

_ROWS_PER_PART = 500


@dataclass(frozen=True)
class Kept:
    """How far the drafts have come."""

    drafts: int
    """Drafts in the folder, those of earlier starts included."""
    unasked: int
    """New drafts that no reviser can improve: failed and empty ones."""
    speed: dict[str, float]
    """`EngineSpeed.figures`."""


class DraftKeeper:
    """The one writer of a run's drafts while sampling and revising overlap; an actor, started again where it dies."""

    def __init__(self, folder: Path, started: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Take up the folder.

        Args:
            started: When the engines were asked for, in seconds of the clock, which is this host's steady one.
        """
        self.folder, self.clock = folder, clock
        self.known = written_ids(folder, "id")
        self.number, self.part = next_number(folder), list[Draft]()
        self.handed_on = set[str]()
        self.unasked = 0
        self.closed = False
        self.speed = EngineSpeed(started)

    def keep(self, batch: Batch) -> pa.Table:
        """Write the drafts that are new; returns those to be revised, as they are on disk, in `Draft`'s schema.

        Ray makes a block again where what came of it was lost with a node. The first draft of an id stands, for it may
        have been asked about.
        """
        self.speed.add(self.clock(), batch.tokens, batch.longest_seconds)
        new = [draft for draft in batch.drafts if draft.id not in self.known]
        table = to_table(Draft, new)
        asked = table.filter(revisable(table))
        self.unasked += len(new) - len(asked)
        if again := {draft.id for draft in batch.drafts} & self.known:
            asked = pa.concat_tables([asked, self._written(again)])
        if new:
            self._write(new)
        if self.closed:
            return asked.slice(0, 0)
        self.handed_on.update(asked["id"].to_pylist())
        return asked

    def close(self) -> int:
        """Hand on nothing more, and write what still comes; returns how many drafts were handed on."""
        self.closed = True
        return len(self.handed_on)

    def report(self) -> Kept:
        """How far the drafts have come."""
        return Kept(len(self.known), self.unasked, self.speed.figures())

    def _written(self, ids: set[str]) -> pa.Table:
        """The drafts of these ids on disk that can be revised."""
        drafts = read_parts(self.folder, Draft)
        return drafts.filter(pc.and_(pc.is_in(drafts["id"], pa.array(ids)), revisable(drafts)))

    def _write(self, new: list[Draft]) -> None:
        """Put the drafts on disk. A part is written anew with each block until it is full: files stay few."""
        self.part += new
        write_table(part_path(self.folder, self.number), to_table(Draft, self.part))
        self.known.update(draft.id for draft in new)
        if len(self.part) >= _ROWS_PER_PART:
            self.number, self.part = self.number + 1, []


def start_keeper(folder: Path, started: float) -> Any:
    """The keeper's actor handle; it runs on this host, whose files the run folder is among, and ends by `ray.kill`."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote = ray.remote(DraftKeeper).options(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)
    return remote.remote(folder.resolve(), started)
