"""Has the pool do all the work of a stage at the configured endpoint, and writes its rows as they come. This acts."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from raylign.config import LoopConfig, ReviseConfig
from raylign.facts import reviser_waits
from raylign.glance import Glance
from raylign.journal.files import JournalFiles
from raylign.journal.index import load_index
from raylign.parts import PartWriter, part_paths
from raylign.revise.actors import Reach, in_blocks, rows_per_block, run_pool
from raylign.revise.batch import fill_journal
from raylign.revise.batch_files import batches_usd, require_collected
from raylign.revise.client import check_endpoint, read_key
from raylign.revise.intake import Intake
from raylign.revise.ledger import Ledger
from raylign.revise.limiter import Figures, Limits
from raylign.revise.limiter_actor import start_limiter
from raylign.revise.pool import CPUS_PER_ACTOR
from raylign.revise.progress import Progress
from raylign.revise.secret import Secret
from raylign.revise.work import Windows, Work
from raylign.room import require_room
from raylign.run_folder import RunFolder
from raylign.screen import StageProgress

_SERVED_NAME = "reviser"
_LEASE_MARGIN_SECONDS = 30.0
_ROWS_PER_PART = 5000
_SECONDS_PER_PART = 15.0
SECONDS_BETWEEN_LOOKS = 1.0
"""At the limiter's figures, which travel in a message of their own."""

Show = Callable[[int, str], None]
"""Takes how many rows came so far, and a few words on how it goes."""


@dataclass(frozen=True)
class Asking:
    """The pool at one endpoint while it is open: what decides, what is shared, and where rows go."""

    work: Work
    revise: ReviseConfig
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
        with closing(run_pool(items, rows, self.work, self.revise, self.reach)) as tables:
            for table in tables:
                self.writer.add(self.intake.take([self.work.row(**row) for row in table.to_pylist()]))
                counts = self.intake.counts
                show(counts.total(), self.words.words(counts, self.report(), time.monotonic()))
                if self.intake.stopped_by and enough():
                    return


def ask_all(
    config: LoopConfig,
    folder: RunFolder,
    rows_folder: Path,
    work: Work,
    windows: Windows,
    done: int,
    total: int,
    progress: StageProgress,
) -> None:
    """Do the work on all `windows` of items and write their rows to `rows_folder`.

    In batch mode it first waits for the provider, for hours perhaps. Until that is over it holds the Ray session and
    nothing in it: limiter and actors start afterwards, the engines of the stage before are gone, and nodes that an
    autoscaler brought up may leave.

    Args:
        windows: Gives tables of `work.item`, none of which has a row in the folder yet, one after another.
        done: Rows that the folder holds already, of `total`.

    Raises:
        InputError: the journal cannot be written.
        EndpointError: the endpoint is down, refuses the key or lacks the model, or the budget is spent; finished rows
            are kept.
        PlanError: the cluster has no room for the actors.
        ConfigError: calls are wanted while batches of an earlier start are open.
    """
    require_room(
        f"the {progress.name} stage",
        cpus=config.revise.actors_min * CPUS_PER_ACTOR,
        gpus=0,
        cure="raise cluster.local_cpus, add nodes, or lower revise.actors_min",
    )
    say = partial(progress.update, done, total)
    say("reaching the reviser")

    def fill(journal: JournalFiles, key: Secret) -> None:
        fill_journal(config.revise, work, windows, rows_folder, journal, key, Ledger(rows_folder).read(), say)

    rows = rows_per_block(config.revise.requests_in_flight)
    batches = fill if config.revise.mode == "batch" else None
    with asking(config, folder, rows_folder, work, done, progress, batches) as pool:
        for items in windows():
            pool.run(in_blocks(items, rows), rows, lambda new, words: progress.update(done + new, total, words))
            if pool.intake.stopped_by:
                break


@contextmanager
def asking(
    config: LoopConfig,
    folder: RunFolder,
    rows_folder: Path,
    work: Work,
    answered: int,
    progress: StageProgress,
    before: Callable[[JournalFiles, Secret], None] | None = None,
) -> Iterator[Asking]:
    """Reach the endpoint, start the limiter, and yield what runs the pool; rows that were held back are written last.

    Args:
        answered: Rows that the folder holds already.
        before: Called when the endpoint has answered and before the limiter takes up the run's spending.

    Raises:
        InputError, EndpointError, ConfigError: as `ask_all`.
    """
    import ray

    revise = config.revise
    require_collected(revise.mode, rows_folder)
    journal, key = JournalFiles(revise.journal or str(folder.path / "journal")), read_key(revise.api_key_env)
    with (
        PartWriter(rows_folder, work.row, _ROWS_PER_PART, _SECONDS_PER_PART) as writer,
        _endpoint(config, work) as (base_url, served_name),
    ):
        if before is not None:
            before(journal, key)
        ledger = Ledger(rows_folder, batches_usd(rows_folder))
        limiter = start_limiter(_limits(revise), ledger.read(), ledger)
        progress.waits_for = lambda: reviser_waits(limiter, revise.max_in_flight)
        reach = Reach(base_url, served_name, key, limiter, journal.location, ray.put(load_index(journal)))
        intake = Intake(base_url, answered)
        report = Glance(lambda: ray.get(limiter.report.remote()), SECONDS_BETWEEN_LOOKS)
        words = Progress(revise.requests_per_minute, work.verb)
        try:
            yield Asking(work, revise, reach, writer, intake, report, words)
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


def _limits(revise: ReviseConfig) -> Limits:
    return Limits(
        requests_per_minute=revise.requests_per_minute,
        tokens_per_minute=revise.tokens_per_minute,
        in_flight=revise.max_in_flight,
        max_usd=revise.max_usd,
        lease_seconds=revise.timeout_seconds + _LEASE_MARGIN_SECONDS,
    )


@contextmanager
def _endpoint(config: LoopConfig, work: Work) -> Iterator[tuple[str, str]]:
    """Base URL and served model name of the reviser: the configured endpoint, checked, or one served for the run."""
    revise = config.revise
    if revise.base_url is not None:
        check_endpoint(revise.base_url, revise.model, revise.api_key_env, response_format=work.response_format)
        yield revise.base_url, revise.model
        return
    from raylign.serve.endpoint import serve_models

    with serve_models({_SERVED_NAME: revise.model}, config.serve, config.trust_remote_code) as base_url:
        yield base_url, _SERVED_NAME
