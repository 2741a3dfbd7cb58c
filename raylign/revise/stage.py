"""The revision stage: every draft that can be improved goes to the reviser once. This acts; `intake` decides."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from raylign.config import LoopConfig, ReviseConfig
from raylign.errors import InputError
from raylign.facts import cluster_waits, reviser_waits
from raylign.journal.files import JournalFiles
from raylign.journal.index import load_index
from raylign.parts import PartWriter, part_paths
from raylign.records import Revision
from raylign.revise.actors import Reach, revise_drafts
from raylign.revise.client import check_endpoint, read_key
from raylign.revise.intake import Intake
from raylign.revise.limiter import Figures, Limits
from raylign.revise.limiter_actor import start_limiter
from raylign.revise.pending import count_revisable, pending, revised_ids
from raylign.revise.pool import CPUS_PER_ACTOR
from raylign.revise.templates import load_template
from raylign.room import require_room
from raylign.run_folder import RunFolder, write_json
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
            screen.stage("revise", "revision", cluster_waits) as progress,
            PartWriter(revisions_folder, Revision, rows_per_part=5000, seconds_per_part=15.0) as writer,
        ):
            progress.update(done, total, "reaching the reviser")
            _revise(config, folder, (done, total), writer, progress)
    return _figures(revisions_folder)


def _revise(
    config: LoopConfig, folder: RunFolder, count: tuple[int, int], writer: PartWriter, progress: StageProgress
) -> None:
    import ray

    done, total = count
    ledger = folder.path / "revisions" / "spend.json"
    journal = JournalFiles(config.revise.journal or str(folder.path / "journal"))
    key = read_key(config.revise.api_key_env)
    with _endpoint(config) as (base_url, served_name):
        limiter = start_limiter(_limits(config.revise), _spent(ledger), ledger)
        progress.waits_for = lambda: reviser_waits(limiter, config.revise.max_in_flight)
        reach = Reach(base_url, served_name, key, limiter, journal.location, ray.put(load_index(journal)))
        intake = Intake(base_url, answered=done)
        try:
            for drafts in pending(folder.path / "drafts", revised_ids(folder.path / "revisions")):
                # Closed at once on an error or Ctrl-C, so that no actor goes on sending.
                with closing(revise_drafts(drafts, config.revise, reach)) as tables:
                    for table in tables:
                        writer.add(intake.take([Revision(**row) for row in table.to_pylist()]))
                        note = intake.note(ray.get(limiter.report.remote()))
                        progress.update(done + intake.counts.total(), total, note)
                if intake.stopped_by:
                    break
        finally:
            _keep_spent(ledger, ray.get(limiter.report.remote()))
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


def _spent(ledger: Path) -> float:
    """What earlier starts of this run were charged, or may have been."""
    return float(json.loads(ledger.read_text(encoding="utf-8"))["committed_usd"]) if ledger.exists() else 0.0


def _keep_spent(ledger: Path, figures: Figures) -> None:
    if figures.committed_usd:
        write_json(ledger, {"committed_usd": figures.committed_usd})


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
