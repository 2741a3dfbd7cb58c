"""Has the pool do all the work of a stage at one endpoint, and writes its rows as they come. This acts."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from raylign.config import EndpointConfig
from raylign.facts import reviser_waits
from raylign.glance import Glance
from raylign.journal.files import JournalFiles
from raylign.journal.index import load_index
from raylign.parts import PartWriter, part_paths
from raylign.revise.actors import Reach, in_blocks, rows_per_block, run_pool
from raylign.revise.client import read_key
from raylign.revise.intake import Intake
from raylign.revise.ledger import Ledger
from raylign.revise.limiter import Figures, Limits
from raylign.revise.limiter_actor import start_limiter
from raylign.revise.pool import CPUS_PER_ACTOR
from raylign.revise.progress import Progress
from raylign.revise.secret import Secret
from raylign.revise.work import Windows, Work
from raylign.room import require_room
from raylign.screen import StageProgress

_LEASE_MARGIN_SECONDS = 30.0
_ROWS_PER_PART = 5000
_SECONDS_PER_PART = 15.0
SECONDS_BETWEEN_LOOKS = 1.0
"""At the limiter's figures, which travel in a message of their own."""

Show = Callable[[int, str], None]
"""Takes how many rows came so far, and a few words on how it goes."""
Before = Callable[[JournalFiles, Secret], None]
"""Called when the endpoint has answered and before the limiter takes up the spending."""


@dataclass(frozen=True)
class Place:
    """An endpoint that answers."""

    base_url: str
    served: Mapping[str, str] = field(default_factory=dict)
    """Names at the endpoint of models that requests know by another one."""


@dataclass(frozen=True)
class Inquiry:
    """Which endpoint is asked within which limits, and where replies, rows and the account of the spending are kept."""

    section: str
    """Of the configuration, for what a person is told: `revise`."""
    endpoint: EndpointConfig
    reached: AbstractContextManager[Place]
    """Entered once, when it is about to be asked."""
    rows: Path
    """The folder of the work's rows."""
    journal: str
    """The journal's folder or URI."""
    ledger: Callable[[], Ledger]
    """Taken when the limiter starts; what may be spent is counted over all that has the same one."""


@dataclass(frozen=True)
class Asking:
    """The pool at one endpoint while it is open: what decides, what is shared, and where rows go."""

    work: Work
    endpoint: EndpointConfig
    reach: Reach
    writer: PartWriter
    intake: Intake
    report: Callable[[], Figures]
    """The limiter's figures, a second old at most."""
    words: Progress

    def run(self, items: Any, rows: int, show: Show, enough: Callable[[], bool] = lambda: False) -> None:
        """Do the work on a Ray Data set of items in blocks of about `rows`, and write what comes.

        Args:
            show: Called after each table.
            enough: Asked after each table once the job was stopped (a refused key, the budget): true leaves the rest.
        """
        # Closed at once on an error or Ctrl-C, so that no actor goes on sending.
        with closing(run_pool(items, rows, self.work, self.endpoint, self.reach)) as tables:
            for table in tables:
                self.writer.add(self.intake.take([self.work.row(**row) for row in table.to_pylist()]))
                counts = self.intake.counts
                show(counts.total(), self.words.words(counts, self.report(), time.monotonic()))
                if self.intake.stopped_by and enough():
                    return


def ask_all(
    inquiry: Inquiry,
    work: Work,
    windows: Windows,
    done: int,
    total: int,
    progress: StageProgress,
    before: Before | None = None,
) -> None:
    """Do the work on all `windows` of items and write their rows to the inquiry's folder.

    Args:
        windows: Gives tables of `work.item`, none of which has a row in the folder yet, one after another.
        done: Rows that the folder holds already, of `total`.

    Raises:
        InputError: the journal cannot be written.
        EndpointError: the endpoint is down, refuses the key or lacks the model, or the budget is spent; finished rows
            are kept.
        PlanError: the cluster has no room for the actors.
    """
    endpoint, section = inquiry.endpoint, inquiry.section
    require_room(
        f"the {progress.name} stage",
        cpus=endpoint.actors_min * CPUS_PER_ACTOR,
        gpus=0,
        cure=f"raise cluster.local_cpus, add nodes, or lower {section}.actors_min",
    )
    rows = rows_per_block(endpoint.requests_in_flight)
    with asking(inquiry, work, done, progress, before) as pool:
        for items in windows():
            pool.run(in_blocks(items, rows), rows, lambda new, words: progress.update(done + new, total, words))
            if pool.intake.stopped_by:
                break


@contextmanager
def asking(
    inquiry: Inquiry, work: Work, answered: int, progress: StageProgress, before: Before | None = None
) -> Iterator[Asking]:
    """Reach the endpoint, start the limiter, and yield what runs the pool; rows that were held back are written last.

    Args:
        answered: Rows that the folder holds already.

    Raises:
        InputError, EndpointError: as `ask_all`.
    """
    import ray

    endpoint = inquiry.endpoint
    journal, key = JournalFiles(inquiry.journal), read_key(endpoint.api_key_env)
    with (
        PartWriter(inquiry.rows, work.row, _ROWS_PER_PART, _SECONDS_PER_PART) as writer,
        inquiry.reached as place,
    ):
        if before is not None:
            before(journal, key)
        ledger = inquiry.ledger()
        limiter = start_limiter(_limits(endpoint, inquiry.section), ledger.read(), ledger)
        progress.waits_for = partial(reviser_waits, limiter, endpoint.max_in_flight, inquiry.section)
        reach = Reach(place.base_url, place.served, key, limiter, journal.location, ray.put(load_index(journal)))
        intake = Intake(place.base_url, answered)
        report = Glance(lambda: ray.get(limiter.report.remote()), SECONDS_BETWEEN_LOOKS)
        words = Progress(endpoint.requests_per_minute, work.verb)
        try:
            yield Asking(work, endpoint, reach, writer, intake, report, words)
        finally:
            ledger.keep(ray.get(limiter.report.remote()).committed_usd)
            ray.kill(limiter)
        writer.add(intake.rest())


def tally(rows_folder: Path) -> dict[str, Any]:
    """Figures of the rows in a folder: how many by `status`, and what their requests took in all."""
    status: Counter[str] = Counter()
    sums: dict[str, float] = dict.fromkeys(("attempts", "repairs", "prompt_tokens", "reply_tokens", "usd"), 0)
    for path in part_paths(rows_folder):
        table = pq.read_table(path, columns=["status", *sums])
        status.update(table["status"].to_pylist())
        for name in sums:
            sums[name] += pc.sum(table[name]).as_py() or 0
    return {"status": dict(status), **sums, "usd": round(sums["usd"], 6)}


def _limits(endpoint: EndpointConfig, section: str) -> Limits:
    return Limits(
        requests_per_minute=endpoint.requests_per_minute,
        tokens_per_minute=endpoint.tokens_per_minute,
        in_flight=endpoint.max_in_flight,
        max_usd=endpoint.max_usd,
        lease_seconds=endpoint.timeout_seconds + _LEASE_MARGIN_SECONDS,
        section=section,
    )
