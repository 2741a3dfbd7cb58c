"""The training stage: pairs in, aligned checkpoint out, through Ray Train on the cluster at hand. This acts."""

import os
import threading
import time
from dataclasses import replace
from typing import Any

from raylign.arithmetic import fast_products
from raylign.config.schema import LoopConfig
from raylign.config.training import TrainConfig
from raylign.errors import TrainingError, TrainingLostError, find_raylign_error
from raylign.facts import cluster_waits
from raylign.model import BUNDLED, names_elsewhere, resolve_model
from raylign.pairs.store import pairs_folder, read_manifest
from raylign.room import require_room
from raylign.run_folder import RunFolder, write_json
from raylign.screen import Screen, StageProgress
from raylign.train.allocator import allocator_environment
from raylign.train.helpers import Helpers
from raylign.train.job import CHECKPOINTS, Job
from raylign.train.prepare import prepare_tokens

_POLL_SECONDS = 0.5


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Train on the run's pairs and write the aligned model to `checkpoint` in the run folder.

    Ray is initialised by the caller. A run that was stopped goes on from its newest checkpoint, on the same number of
    workers with the same bits as if it had not been stopped.

    Returns:
        `objective`, `steps`, `stopped_early`, `exported_step` (the last, or the best by `train.keep_best`), `pairs`,
        `dropped` {reason: pairs of both splits}, `truncated` (pairs of both splits whose prompt was cut), `loss_first`
        (mean loss of the first step, without an `sft` term beside others), `loss_last` (the same of the last tenth of
        the steps), what `Meter.figures` has (over the steps alone), `layout`, `reference`
        (`computed` or `found`), `reference_seconds`, and `heldout` (`pairs`, `loss`,
        `reward_accuracy`, `reward_margin`, rewards, log-probabilities and their movement, of the exported model).

    Raises:
        InputError: no pairs where they should be, or none that can be used.
        ModelError: the target model is missing or cannot be loaded.
        PlanError: the cluster has no room for the workers and cannot grow to it.
        TrainingError: its own checks refused to go on.
        TrainingLostError: it failed by anything else.
    """
    model = resolve_model(config.model)
    pairs = pairs_folder(config.train, folder.path)
    name = config.model if config.model == BUNDLED else model
    names = names_elsewhere([config.model, *filter(None, read_manifest(pairs).get("reviser_models", []))])
    job = Job(config, name, folder.path.resolve(), pairs.resolve(), names)
    folder.stage("train")
    with screen.stage("train", "step", cluster_waits) as progress:
        progress.update(0, 1, "reading the pairs")
        prepared = prepare_tokens(job, model)
        job = _settle_products(job, folder)
        train = config.train
        require_room(
            "training",
            cpus=train.workers * train.cpus_per_worker,
            gpus=train.workers * train.gpus_per_worker,
            cure="add nodes, raise cluster.local_cpus, or lower train.workers or what each worker reserves",
        )
        job.progress_path.unlink(missing_ok=True)
        progress.update(0, 1, "starting workers")
        figures = _fit(job, folder, progress)
    if "refused" in figures:
        message, cure = figures["refused"]
        raise TrainingError(message, cure)
    return {**figures, **prepared}


def _settle_products(job: Job, folder: RunFolder) -> Job:
    """The job with what `train.products` came to when the run began, which later starts keep on whatever host."""
    train = job.config.train
    if train.products != "auto":
        return job
    settled = folder.read_json("train/products.json")
    if settled is None:
        settled = {"products": fast_products(train.gpus_per_worker)}
        write_json(job.products_path, settled)
    return replace(job, config=replace(job.config, train=replace(train, products=settled["products"])))


def _fit(job: Job, folder: RunFolder, progress: StageProgress) -> dict[str, Any]:
    """Run the trainer in a thread of its own while this one shows progress and hears Ctrl-C."""
    outcome: dict[str, Any] = {}
    helpers, phase = Helpers(), ""

    def target() -> None:
        try:
            outcome["figures"] = _trainer(job).fit().return_value
        except BaseException as error:  # carried over to the caller's thread
            outcome["error"] = error

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    while thread.is_alive():
        time.sleep(_POLL_SECONDS)
        if found := folder.read_json("train/progress.json"):
            words = found["note"] if found["phase"] == "steps" else found["phase"]
            progress.update(found["done"], found["total"], words)
            if found["phase"] != phase:  # seldom enough, and after what was started for it
                phase = found["phase"]
                helpers.put_last()
    if error := outcome.get("error"):
        raise _explain(error, job) from error
    figures: dict[str, Any] = outcome["figures"]
    return figures


def _trainer(job: Job) -> Any:
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")  # read when ray.train is imported
    from ray.train import CheckpointConfig, FailureConfig, RunConfig
    from ray.train.torch import TorchTrainer

    from raylign.train.early_stop import LOWER_IS_BETTER
    from raylign.train.worker import train_worker

    train = job.config.train
    variables = allocator_environment(train.gpus_per_worker > 0, os.environ)
    return TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        scaling_config=_scaling(train),
        run_config=RunConfig(
            name=CHECKPOINTS,
            storage_path=str(job.folder),
            worker_runtime_env={"env_vars": variables} if variables else None,
            failure_config=FailureConfig(max_failures=train.max_failures),
            checkpoint_config=CheckpointConfig(
                num_to_keep=train.checkpoints_kept,
                checkpoint_score_attribute=train.keep_best,
                checkpoint_score_order="min" if train.keep_best in LOWER_IS_BETTER else "max",
            ),
        ),
    )


def _scaling(train: TrainConfig) -> Any:
    from ray.train import ScalingConfig

    resources = {"CPU": train.cpus_per_worker}
    if train.gpus_per_worker:
        resources["GPU"] = train.gpus_per_worker
    return ScalingConfig(
        num_workers=(train.workers, train.workers_max) if train.workers_max else train.workers,
        elastic_resize_monitor_interval_s=train.resize_seconds,
        use_gpu=train.gpus_per_worker > 0,
        resources_per_worker=resources,
    )


def _explain(error: BaseException, job: Job) -> BaseException:
    if isinstance(error, KeyboardInterrupt):
        return error
    if known := find_raylign_error(error):
        return known
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return TrainingLostError(
        f"training failed: {lines[-1]}",
        f"run again to go on from the newest checkpoint; the workers' output is in the logs folder of {job.run}",
    )
