"""Has the pool do all the work of a stage at the configured endpoint, and writes its rows as they come. This acts."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raylign.config import LoopConfig, ReviseConfig
from raylign.journal.files import JournalFiles
from raylign.journal.index import load_index
from raylign.parts import PartWriter, part_paths
from raylign.revise.actors import CPUS_PER_ACTOR, Reach, run_pool
from raylign.revise.client import check_endpoint, read_key
from raylign.revise.intake import Intake
from raylign.revise.limiter import Figures, Limits
from raylign.revise.limiter_actor import start_limiter
from raylign.revise.progress import Progress
from raylign.revise.work import Work
from raylign.room import require_room
from raylign.run_folder import RunFolder, write_json
from raylign.screen import StageProgress

_SERVED_NAME = "reviser"
_LEASE_MARGIN_SECONDS = 30.0
_ROWS_PER_PART = 5000
_SECONDS_PER_PART = 15.0


def ask_all(
    config: LoopConfig,
    folder: RunFolder,
    rows_folder: Path,
    work: Work,
    windows: Iterable[pa.Table],
    done: int,
    total: int,
    progress: StageProgress,
) -> None:
    """Do the work on all `windows` of items and write their rows to `rows_folder`.

    Args:
        windows: Tables of `work.item`, none of which has a row in the folder yet; each is read when the last is done.
        done: Rows that the folder holds already, of `total`.

    Raises:
        InputError: the journal cannot be written.
        EndpointError: the endpoint is down, refuses the key or lacks the model, or the budget is spent; finished rows
            are kept.
        PlanError: the cluster has no room for the actors.
    """
    import ray

    require_room(
        f"the {progress.name} stage",
        cpus=config.revise.actors_min * CPUS_PER_ACTOR,
        gpus=0,
        cure="raise cluster.local_cpus, add nodes, or lower revise.actors_min",
    )
    progress.update(done, total, "reaching the reviser")
    ledger = rows_folder / "spend.json"
    journal = JournalFiles(config.revise.journal or str(folder.path / "journal"))
    key = read_key(config.revise.api_key_env)
    with (
        PartWriter(rows_folder, work.row, _ROWS_PER_PART, _SECONDS_PER_PART) as writer,
        _endpoint(config, work) as (base_url, served_name),
    ):
        limiter = start_limiter(_limits(config.revise), _spent(ledger), ledger)
        reach = Reach(base_url, served_name, key, limiter, journal.location, ray.put(load_index(journal)))
        intake, words = Intake(base_url, done), Progress(config.revise.requests_per_minute, work.verb)
        try:
            for items in windows:
                # Closed at once on an error or Ctrl-C, so that no actor goes on sending.
                with closing(run_pool(items, work, config.revise, reach)) as tables:
                    for table in tables:
                        writer.add(intake.take([work.row(**row) for row in table.to_pylist()]))
                        note = words.words(intake.counts, ray.get(limiter.report.remote()), time.monotonic())
                        progress.update(done + intake.counts.total(), total, note)
                if intake.stopped_by:
                    break
        finally:
            _keep_spent(ledger, ray.get(limiter.report.remote()))
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


def _spent(ledger: Path) -> float:
    """What earlier starts of this run were charged, or may have been."""
    return float(json.loads(ledger.read_text(encoding="utf-8"))["committed_usd"]) if ledger.exists() else 0.0


def _keep_spent(ledger: Path, figures: Figures) -> None:
    if figures.committed_usd:
        write_json(ledger, {"committed_usd": figures.committed_usd})


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
