"""The revision stage: every draft that can be improved goes to the reviser once. This acts; `intake` decides."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from raylign.config import LoopConfig, ReviseConfig
from raylign.errors import InputError
from raylign.journal.files import JournalFiles
from raylign.journal.index import load_index
from raylign.parts import PartWriter, part_paths
from raylign.records import Revision
from raylign.revise.actors import CPUS_PER_ACTOR, Reach, revise_drafts
from raylign.revise.batch import fill_journal
from raylign.revise.batch_files import batches_usd
from raylign.revise.client import check_endpoint, read_key
from raylign.revise.intake import Intake
from raylign.revise.ledger import Ledger
from raylign.revise.limiter import Limits
from raylign.revise.limiter_actor import start_limiter
from raylign.revise.pending import count_revisable, pending, revised_ids
from raylign.revise.progress import Progress
from raylign.revise.templates import load_template
from raylign.room import require_room
from raylign.run_folder import RunFolder
from raylign.screen import Screen, StageProgress

_SERVED_NAME = "reviser"
_LEASE_MARGIN_SECONDS = 30.0


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Have every draft revised that has no revision yet; returns the stage's figures.

    Raises:
        InputError: the run has no drafts, or its journal cannot be written.
        EndpointError: the endpoint is down, refuses the key or lacks the model, or the budget is spent; finished rows
            are kept.
        PlanError: the cluster has no room for the reviser actors.
    """
    drafts_folder, revisions_folder = folder.path / "drafts", folder.stage("revisions")
    if not part_paths(drafts_folder):
        raise InputError(f"{folder.path}/drafts holds no drafts", "run the sample stage first")
    total = count_revisable(drafts_folder)
    done = len(revised_ids(revisions_folder))
    if done < total:
        require_room(
            "revising",
            cpus=config.revise.actors_min * CPUS_PER_ACTOR,
            gpus=0,
            cure="raise cluster.local_cpus, add nodes, or lower revise.actors_min",
        )
        with (
            screen.stage("revise") as progress,
            PartWriter(revisions_folder, Revision, rows_per_part=5000, seconds_per_part=15.0) as writer,
        ):
            progress.update(done, total, "reaching the reviser")
            _revise(config, folder, (done, total), writer, progress)
    return _figures(revisions_folder)


def _revise(
    config: LoopConfig, folder: RunFolder, count: tuple[int, int], writer: PartWriter, progress: StageProgress
) -> None:
    import ray

    (done, total), revisions = count, folder.path / "revisions"
    journal = JournalFiles(config.revise.journal or str(folder.path / "journal"))
    key = read_key(config.revise.api_key_env)
    with _endpoint(config) as (base_url, served_name):
        if config.revise.mode == "batch":
            say = partial(progress.update, done, total)
            fill_journal(config.revise, folder.path, journal, key, Ledger(revisions).read(), say)
        ledger = Ledger(revisions, batches_usd(revisions))
        limiter = start_limiter(_limits(config.revise), ledger.read(), ledger)
        reach = Reach(base_url, served_name, key, limiter, journal.location, ray.put(load_index(journal)))
        intake, words = Intake(base_url, answered=done), Progress(config.revise.requests_per_minute)
        try:
            for drafts in pending(folder.path / "drafts", revised_ids(revisions)):
                # Closed at once on an error or Ctrl-C, so that no actor goes on sending.
                with closing(revise_drafts(drafts, config.revise, reach)) as tables:
                    for table in tables:
                        writer.add(intake.take([Revision(**row) for row in table.to_pylist()]))
                        note = words.words(intake.counts, ray.get(limiter.report.remote()), time.monotonic())
                        progress.update(done + intake.counts.total(), total, note)
                if intake.stopped_by:
                    break
        finally:
            ledger.keep(ray.get(limiter.report.remote()).committed_usd)
            ray.kill(limiter)
        writer.add(intake.rest())


def _limits(revise: ReviseConfig) -> Limits:
    return Limits(
        requests_per_minute=revise.requests_per_minute,
        tokens_per_minute=revise.tokens_per_minute,
        in_flight=revise.max_in_flight,
        max_usd=revise.max_usd,
        lease_seconds=revise.timeout_seconds + _LEASE_MARGIN_SECONDS,
    )


@contextmanager
def _endpoint(config: LoopConfig) -> Iterator[tuple[str, str]]:
    """Base URL and served model name of the reviser: the configured endpoint, checked, or one served for the run."""
    revise = config.revise
    if revise.base_url is not None:
        response_format = load_template(revise).response_format
        check_endpoint(revise.base_url, revise.model, revise.api_key_env, response_format=response_format)
        yield revise.base_url, revise.model
        return
    from raylign.serve.endpoint import serve_models

    with serve_models({_SERVED_NAME: revise.model}, config.serve, config.trust_remote_code) as base_url:
        yield base_url, _SERVED_NAME


def _figures(revisions_folder: Path) -> dict[str, Any]:
    status: Counter[str] = Counter()
    sums: dict[str, float] = dict.fromkeys(("attempts", "repairs", "prompt_tokens", "reply_tokens", "usd"), 0)
    for path in part_paths(revisions_folder):
        table = pq.read_table(path, columns=["status", *sums])
        status.update(table["status"].to_pylist())
        for name in sums:
            sums[name] += pc.sum(table[name]).as_py() or 0
    return {"revisions": status.total(), "status": dict(status), **sums, "usd": round(sums["usd"], 6)}
