"""What each stage asks of the cluster at the least, in logical CPUs and GPUs, and by which keys. Pure."""

from dataclasses import dataclass, replace

from raylign.config import LoopConfig
from raylign.engine import HELPER_CPUS, logical_cpus_needed
from raylign.errors import PlanError
from raylign.revise.pool import CPUS_PER_ACTOR
from raylign.serve.plan import room_needed


@dataclass(frozen=True)
class Need:
    """What must be free at once for a stage to go on."""

    stage: str
    cpus: float
    gpus: float
    cpus_by: str
    """How the CPUs come about: keys with their values."""
    gpus_by: str
    lower: str
    """The keys that lower the CPUs."""
    without_gpus: str
    """The override that does without GPUs."""


def need_of(stage: str, config: LoopConfig) -> Need | None:
    """The need of a stage or of `overlap`, by its name; None where it runs without Ray."""
    found = {
        "sample": _sample,
        "overlap": _overlap,
        "revise": _revise,
        "judge": _revise,
        "train": _train,
        "evaluate": _evaluate,
    }.get(stage)
    return found(config) if found else None


def check_room(need: Need, local_cpus: float, local_gpus: int | None) -> None:
    """Raise a PlanError where a private local cluster is too small for a stage.

    Args:
        local_cpus: `cluster.local_cpus`.
        local_gpus: GPUs of this machine, None where that cannot be told.
    """
    if need.cpus > local_cpus:
        raise PlanError(
            f"{need.stage} needs {need.cpus:g} logical CPUs ({need.cpus_by}) and cluster.local_cpus is {local_cpus:g}",
            f"set cluster.local_cpus={-(-need.cpus // 1):g} or more (they are places for actors, not cores), or lower "
            f"{need.lower}",
        )
    if local_gpus is not None and need.gpus > local_gpus:
        raise PlanError(
            f"{need.stage} needs {need.gpus:g} GPU(s) ({need.gpus_by}) and this machine has {local_gpus}, with neither "
            "cluster.address nor RAY_ADDRESS set",
            f"name a cluster that has GPUs in one of these, or run on CPU with {need.without_gpus}",
        )


def _sample(config: LoopConfig) -> Need:
    sample = config.sample
    pool = f"sample.engines_min={sample.engines_min}"
    cpus_per_engine = sample.cpus_per_engine * max(1, sample.gpus_per_engine)
    return Need(
        "sampling",
        logical_cpus_needed(sample.engines_min, cpus_per_engine),
        sample.engines_min * sample.gpus_per_engine,
        f"{pool} × {cpus_per_engine:g} by sample.cpus_per_engine, and {HELPER_CPUS:g} for Ray Data",
        f"{pool} × sample.gpus_per_engine={sample.gpus_per_engine}",
        "sample.engines_min or sample.cpus_per_engine",
        "sample.gpus_per_engine=0",
    )


def _revise(config: LoopConfig) -> Need:
    actors = config.revise.actors_min
    cpus, gpus, by = actors * CPUS_PER_ACTOR, 0.0, f"revise.actors_min={actors} × {CPUS_PER_ACTOR:g}"
    if config.revise.base_url is None:
        serving_cpus, gpus = room_needed(1, config.serve)
        cpus, by = cpus + serving_cpus, f"{by}, and {serving_cpus:g} to serve the reviser"
    return Need("revising", cpus, gpus, by, _serving(1, config), "revise.actors_min", "serve.gpus_per_replica=0")


def _overlap(config: LoopConfig) -> Need:
    """An engine and the reviser actors at once."""
    sample, revise = _sample(config), _revise(config)
    return replace(
        sample,
        stage="sampling and revising at once",
        cpus=sample.cpus + revise.cpus,
        cpus_by=f"{sample.cpus_by}; {revise.cpus_by}",
        lower=f"{sample.lower} or {revise.lower}, or do one after the other with revise.overlap=false",
    )


def _train(config: LoopConfig) -> Need:
    train = config.train
    pool = f"train.workers={train.workers}"
    return Need(
        "training",
        train.workers * train.cpus_per_worker,
        train.workers * train.gpus_per_worker,
        f"{pool} × train.cpus_per_worker={train.cpus_per_worker:g}",
        f"{pool} × train.gpus_per_worker={train.gpus_per_worker}",
        "train.workers or train.cpus_per_worker",
        "train.gpus_per_worker=0",
    )


def _evaluate(config: LoopConfig) -> Need:
    """Serving both models and asking them, and only afterwards one task that scores the answers."""
    asking = config.evaluate.actors_min * CPUS_PER_ACTOR
    pool = f"evaluate.actors_min={config.evaluate.actors_min} × {CPUS_PER_ACTOR:g} to ask them"
    if config.evaluate.base_url is None:
        serving = serving_need(2, config)
        by = f"{serving.cpus_by}, and {pool}"
        return replace(serving, stage="evaluating", cpus=serving.cpus + asking, cpus_by=by)
    gpus = float(min(1, config.serve.gpus_per_replica))
    by = "one task that scores the answers"
    cpus, cpus_by = (asking, pool) if asking > 1.0 else (1.0, by)
    return Need("evaluating", cpus, gpus, cpus_by, by, "evaluate.actors_min", "serve.gpus_per_replica=0")


def serving_need(models: int, config: LoopConfig) -> Need:
    """The need of an endpoint with so many engines."""
    cpus, gpus = room_needed(models, config.serve)
    return Need(
        "serving",
        cpus,
        gpus,
        f"{'both' if models == 2 else models} models and the router before them",
        _serving(models, config),
        "serve.replicas_min or serve.threads_per_replica",
        "serve.gpus_per_replica=0",
    )


def _serving(models: int, config: LoopConfig) -> str:
    serve = config.serve
    return (
        f"{models} served model(s) × serve.replicas_min={serve.replicas_min} × "
        f"serve.gpus_per_replica={serve.gpus_per_replica}"
    )
