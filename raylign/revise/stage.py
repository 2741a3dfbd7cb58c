"""The revision stage: every draft that can be improved goes to the reviser once. This acts; `intake` decides."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.errors import InputError
from raylign.parts import PartWriter, read_parts, read_records, written_ids
from raylign.records import Draft, Revision
from raylign.revise.actors import CPUS_PER_ACTOR, revise_drafts
from raylign.revise.client import check_endpoint, read_key
from raylign.revise.intake import Intake
from raylign.revise.rows import revisable
from raylign.room import require_room
from raylign.run_folder import RunFolder
from raylign.screen import Screen, StageProgress

_SERVED_NAME = "reviser"


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Have every draft revised that has no revision yet; returns the stage's figures.

    Raises:
        InputError: the run has no drafts.
        EndpointError: the endpoint is down, refuses the key or lacks the model; finished rows are kept.
        PlanError: the cluster has no room for the reviser actors.
    """
    drafts: list[Draft] = read_records(folder.path / "drafts", Draft)
    if not drafts:
        raise InputError(f"{folder.path}/drafts holds no drafts", "run the sample stage first")
    revisions_folder = folder.stage("revisions")
    waiting = revisable(drafts, written_ids(revisions_folder, "draft_id"))
    if waiting:
        require_room(
            "revising",
            cpus=config.revise.actors_min * CPUS_PER_ACTOR,
            gpus=0,
            cure="raise cluster.local_cpus, add nodes, or lower revise.actors_min",
        )
        total = len(revisable(drafts, set()))
        with (
            screen.stage("revise") as progress,
            PartWriter(revisions_folder, Revision, rows_per_part=200, seconds_per_part=5.0) as writer,
        ):
            progress.update(total - len(waiting), total, "reaching the reviser")
            _revise(config, waiting, total, writer, progress)
    return _figures(revisions_folder)


@contextmanager
def _endpoint(config: LoopConfig) -> Iterator[tuple[str, str]]:
    """Base URL and served model name of the reviser: the configured endpoint, checked, or one served for the run."""
    revise = config.revise
    if revise.base_url is not None:
        check_endpoint(revise.base_url, revise.model, revise.api_key_env)
        yield revise.base_url, revise.model
        return
    from raylign.serve.endpoint import serve_models

    with serve_models({_SERVED_NAME: revise.model}, config.serve, config.trust_remote_code) as base_url:
        yield base_url, _SERVED_NAME


def _revise(config: LoopConfig, waiting: list[Draft], total: int, writer: PartWriter, progress: StageProgress) -> None:
    done = total - len(waiting)
    key = read_key(config.revise.api_key_env)
    with _endpoint(config) as (base_url, served_name):
        intake = Intake(base_url, answered=done)
        # Closed at once on an error or Ctrl-C, so that no actor goes on sending.
        with closing(revise_drafts(waiting, config.revise, base_url, served_name, key)) as tables:
            for table in tables:
                writer.add(intake.take([Revision(**row) for row in table.to_pylist()]))
                progress.update(done + intake.counts.total(), total, intake.note())
        writer.add(intake.rest())


def _figures(revisions_folder: Path) -> dict[str, Any]:
    columns = ["status", "attempts", "prompt_tokens", "reply_tokens"]
    table = read_parts(revisions_folder, Revision, columns).to_pydict()
    return {
        "revisions": len(table["status"]),
        "status": dict(Counter(table["status"])),
        "attempts": sum(table["attempts"]),
        "prompt_tokens": sum(table["prompt_tokens"]),
        "reply_tokens": sum(table["reply_tokens"]),
    }
