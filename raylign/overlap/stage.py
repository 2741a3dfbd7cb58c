"""Sampling and revising as one Ray Data pipeline: engines, the keeper of drafts, reviser actors. This acts.

What it leaves, a stop or an earlier start left as well: drafts without a revision. The revise stage, which always
follows, does those.
"""

import time
from typing import Any

import pyarrow as pa

from raylign.config import LoopConfig
from raylign.facts import cluster_waits, overlap_waits
from raylign.glance import Glance
from raylign.overlap.keeper import Kept, start_keeper
from raylign.parts import written_ids
from raylign.preflight.needs import need_of
from raylign.revise.asking import SECONDS_BETWEEN_LOOKS, Asking, asking
from raylign.revise.pending import revised_ids
from raylign.revise.reviser import inquiry
from raylign.revise.work import Revising
from raylign.room import require_room
from raylign.run_folder import RunFolder
from raylign.sample.death_watch import ended_by_deaths
from raylign.sample.drafts import read_batch, waiting_samples
from raylign.sample.stage import draft_figures, engine_outputs, read_prompts
from raylign.screen import Screen, StageProgress


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Draft what has no draft yet and have each draft revised as it comes; returns the sample stage's figures.

    `revised_meanwhile` among them counts the revisions, good or not, that came of this start.

    Raises:
        InputError: the run has no prompts, or its journal cannot be written.
        ModelError: the model folder is missing or has no chat template, or engines die on it without end.
        EndpointError: the endpoint is down, refuses the key or lacks the model, or the budget is spent; finished rows
            are kept.
        PlanError: the cluster has no room for an engine and the reviser actors at once.
    """
    prompts = read_prompts(folder)
    drafts_folder, revisions_folder = folder.stage("drafts"), folder.stage("revisions")
    waiting = waiting_samples(prompts, config, written_ids(drafts_folder, "id"))
    if not waiting:
        return draft_figures(drafts_folder)
    total = len(prompts) * config.sample.samples
    with screen.stage("revise", "revision", cluster_waits) as progress:
        progress.update(total - len(waiting), total, "loading the tokenizer, reaching the reviser")
        _require_room(config)
        outputs = engine_outputs(config, waiting)
        work, answered = Revising(config.revise, config.pairs.source), len(revised_ids(revisions_folder))
        with asking(inquiry(config, folder, revisions_folder, work), work, answered, progress) as pool:
            kept = join(outputs, config, folder, pool, total - len(waiting), total, progress)
    return draft_figures(drafts_folder) | kept.speed | {"revised_meanwhile": pool.intake.counts.total()}


def join(
    outputs: Any,
    config: LoopConfig,
    folder: RunFolder,
    pool: Asking,
    done: int,
    total: int,
    progress: StageProgress,
) -> Kept:
    """Keep what the engines give and have it revised, up to the end or to what stops the pool's job.

    Args:
        outputs: Ray Data set of engine outputs in blocks of about `sample.batch_size`, of which none has run yet.
        done: Drafts that the run folder holds already, of `total`.
    """
    import ray

    keeper = start_keeper(folder.path / "drafts", time.monotonic())
    look = Glance(lambda: ray.get(keeper.report.remote()), SECONDS_BETWEEN_LOOKS)
    progress.waits_for = lambda: overlap_waits(pool.reach.limiter, keeper, config.revise.max_in_flight, total)

    def show(revised: int, words: str) -> None:
        kept = look()
        progress.update(done + revised + kept.unasked, total, f"{kept.drafts} drafted, {words}")

    def drained() -> bool:
        """Whether every draft that was handed on is back: what was on its way when the job stopped is kept."""
        handed_on: int = ray.get(keeper.close.remote())
        return pool.intake.counts.total() >= handed_on

    try:
        drafts = outputs.map_batches(
            _keep,
            fn_kwargs={"config": config, "keeper": keeper},
            batch_format="pyarrow",
            batch_size=None,
            num_cpus=0.25,
        )
        with ended_by_deaths(lambda: ray.get(keeper.report.remote()).drafts):
            pool.run(drafts, config.sample.batch_size, show, enough=drained)
        kept: Kept = ray.get(keeper.report.remote())
        return kept
    finally:
        ray.kill(keeper)


def _keep(outputs: pa.Table, config: LoopConfig, keeper: Any) -> pa.Table:
    """The drafts to revise among these outputs, all of which are on disk then."""
    import ray

    return ray.get(keeper.keep.remote(read_batch(outputs, config)))


def _require_room(config: LoopConfig) -> None:
    if need := need_of("overlap", config):
        require_room(need.stage, need.cpus, need.gpus, f"add nodes, raise cluster.local_cpus, or lower {need.lower}")
