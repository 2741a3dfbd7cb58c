"""What each served model asks of Ray Serve and vLLM, and whether a cluster has room; pure: no ray, no vllm here.

`plan_models` returns, a model, the keyword arguments of `ray.serve.llm.LLMConfig` as plain values.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

from raylign.config import ServeConfig
from raylign.engine import engine_arguments, engine_environment
from raylign.errors import ConfigError, PlanError
from raylign.serve.catalogue import Adapter, Catalogue

GIB = 2**30
INGRESS_CPUS = 0.5
"""Logical CPUs of the router before the models: it passes requests on, the engines compute."""
ROUTER = "router"
"""Name of the router's deployment."""
DEPLOYMENT_PREFIX = "LLMServer:"
"""What the name of a model's deployment starts with; the served name follows."""
ADAPTER_FOLDERS = "raylign_adapter_folders"
"""Where the arguments of a model say which adapters its engine carries."""
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Those that vLLM reserves room for."""
LAST_NICENESS = "19"
"""Of a replica that computes on its host's CPU: it yields to all else there."""
CPU_CACHE_BYTES = GIB
"""Memory of a CPU engine's key-value cache, unless `serve.engine.kv_cache_memory_bytes` says otherwise."""

_SET_ELSEWHERE = {
    "model": "name the models of the run instead",
    "served_model_name": "the name comes from the models of the run",
    "max_model_len": "set serve.max_model_len",
    "tensor_parallel_size": "set serve.gpus_per_replica",
    "trust_remote_code": "set trust_remote_code at the top of the configuration",
}


def plan_models(
    catalogue: Catalogue,
    config: ServeConfig,
    cores: int,
    dtype: str = "bfloat16",
    trust_remote_code: bool = False,
    runtime_env: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The arguments of one `LLMConfig` for each model, in the order given.

    Args:
        catalogue: What is served; an adapter adds to the arguments of its model.
        cores: Processor cores that the replicas share; matters on CPU only.
        dtype: What the engines compute in, in vLLM's words, unless `serve.engine` says it.
        runtime_env: Ray's, of the job; the replicas need it besides the variables chosen here.

    Raises:
        ConfigError: no model is named, or `serve.engine` sets what another field decides.
    """
    models, environment = catalogue.models, (runtime_env or {}).get("env_vars", {})
    if not models:
        raise ConfigError("there is no model to serve", "name at least one: a served name and its folder or hub id")
    for key, cure in _SET_ELSEWHERE.items():
        if key in config.engine:
            raise ConfigError(f"serve.engine.{key} is {config.engine[key]!r}", f"it is decided elsewhere: {cure}")
    threads, plans = engine_threads(len(models), config, cores), []
    for name, source in models.items():
        adapters = catalogue.adapters_of(name)
        arguments = _engine_arguments(config, dtype, trust_remote_code, adapters)
        variables = {**environment, **_engine_environment(config, threads, arguments)}
        plans.append(
            {
                **_lora(adapters),
                "experimental_configs": _experimental(adapters),
                "model_loading_config": {"model_id": name, "model_source": source},
                "accelerator_config": {"kind": "gpu" if config.gpus_per_replica else "cpu"},
                "placement_group_config": {"bundles": _engine_bundles(config)},
                "engine_kwargs": arguments,
                "deployment_config": _deployment(config),
                "runtime_env": {**(runtime_env or {}), "env_vars": variables},
            }
        )
    return plans


def engine_threads(models: int, config: ServeConfig, cores: int) -> int:
    """Compute threads of one CPU engine: all cores where it is alone, else its share of them; at least 1."""
    if config.threads_per_replica is not None:
        return config.threads_per_replica
    return max(1, cores // (models * config.replicas_max))


def mark(*parts: object) -> str:
    """A version that differs wherever a part does: Serve replaces the replicas of what has another one, and of nothing
    else."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _lora(adapters: Sequence[Adapter]) -> dict[str, Any]:
    return {"lora_config": {"max_num_adapters_per_replica": len(adapters)}} if adapters else {}


def _experimental(adapters: Sequence[Adapter]) -> dict[str, Any]:
    """What ray.serve.llm keeps under this name: for our loader each adapter's folder."""
    return {ADAPTER_FOLDERS: {adapter.name: adapter.folder for adapter in adapters}} if adapters else {}


def ingress_options(config: ServeConfig, runtime_env: dict[str, Any] | None = None) -> dict[str, Any]:
    """Deployment options of the router that all models stand behind."""
    return {
        "name": ROUTER,
        "num_replicas": 1,
        "max_ongoing_requests": 10_000,
        "ray_actor_options": {"num_cpus": INGRESS_CPUS, **({"runtime_env": runtime_env} if runtime_env else {})},
        "max_surge_percent": 100,
        "max_constructor_retry_count": 1,  # a router without its keys says so at once
        "graceful_shutdown_timeout_s": config.drain_seconds,
    }


def room_needed(models: int, config: ServeConfig) -> tuple[float, float]:
    """Logical CPUs and GPUs that the fewest replicas of so many models take, with the router before them."""
    replicas = models * max(1, config.replicas_min)  # where there may be none later, one starts to show that it can
    cpus, gpus = replica_room(config)
    return INGRESS_CPUS + replicas * cpus, replicas * gpus


def replica_room(config: ServeConfig) -> tuple[float, float]:
    """Logical CPUs and GPUs of one replica."""
    return sum(bundle.get("CPU", 0.0) for bundle in _engine_bundles(config)), float(config.gpus_per_replica)


def check_room(models: int, config: ServeConfig, cpus: float, gpus: float) -> None:
    """Raise a PlanError where a cluster can never place the fewest replicas asked for.

    Args:
        models: How many models are served.
        cpus: Logical CPUs of the whole cluster.
        gpus: GPUs of the whole cluster.
    """
    cpus_needed, gpus_needed = room_needed(models, config)
    if gpus_needed > gpus:
        raise PlanError(
            f"serving {models} model(s) with serve.gpus_per_replica={config.gpus_per_replica} and "
            f"serve.replicas_min={config.replicas_min} needs {gpus_needed:g} GPU(s), and the cluster has {gpus:g}",
            "add GPUs, or set serve.gpus_per_replica=0 to serve on CPU",
        )
    if cpus_needed > cpus:
        raise PlanError(
            f"serving {models} model(s) with serve.replicas_min={config.replicas_min} needs {cpus_needed:g} logical "
            f"CPUs, and the cluster has {cpus:g}",
            "add CPUs (cluster.local_cpus of a private cluster), or ask for fewer serve.threads_per_replica",
        )


def _engine_bundles(config: ServeConfig) -> list[dict[str, float]]:
    """Resources of one replica; the first bundle holds the engine's own process, one GPU a bundle.

    On CPU a replica reserves the threads it was asked to have. With none asked for it takes one logical CPU, for
    those of a private local cluster are places for actors, not cores.
    """
    if not config.gpus_per_replica:
        return [{"CPU": float(config.threads_per_replica or 1)}]
    return [{"CPU": 1.0, "GPU": 1.0}] + [{"GPU": 1.0}] * (config.gpus_per_replica - 1)


def _engine_arguments(
    config: ServeConfig, dtype: str, trust_remote_code: bool, adapters: Sequence[Adapter]
) -> dict[str, Any]:
    ours: dict[str, Any] = {"load_format": "safetensors"}  # never a pickle
    if not config.gpus_per_replica:
        ours["kv_cache_memory_bytes"] = CPU_CACHE_BYTES
    if config.max_tokens_limit is not None:  # the router refuses requests for more; this ends those that name no limit
        ours["override_generation_config"] = {"max_new_tokens": config.max_tokens_limit}
    if adapters:
        largest = max(adapter.rank for adapter in adapters)
        if largest > _LORA_RANKS[-1]:
            raise ConfigError(
                f"an adapter has rank {largest}",
                f"vLLM serves up to {_LORA_RANKS[-1]}: export it merged into its model",
            )
        rank = next(rank for rank in _LORA_RANKS if rank >= largest)
        ours |= {"enable_lora": True, "max_lora_rank": rank, "max_loras": len(adapters)}
    return engine_arguments(
        gpus=config.gpus_per_replica,
        dtype=dtype,
        max_model_len=config.max_model_len,
        seed=0,
        trust_remote_code=trust_remote_code,
        further=ours | config.engine,
    )


def _engine_environment(config: ServeConfig, threads: int, arguments: dict[str, Any]) -> dict[str, str]:
    environment = engine_environment(
        gpus=config.gpus_per_replica, engines_per_host=1, cores=threads, arguments=arguments
    )
    # Where vLLM sets up logging, it closes the replica's own log, and a controller that Ray starts again then cannot
    # recover the replica and stops it. Warnings and errors still reach the worker's log.
    environment["VLLM_CONFIGURE_LOGGING"] = "0"
    if not config.gpus_per_replica:
        # vLLM prefers this variable to the argument; where the cluster's environment sets it, a replica must not obey.
        cache_bytes = config.engine.get("kv_cache_memory_bytes", CPU_CACHE_BYTES)
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(math.ceil(cache_bytes / GIB))
        # An engine takes every core there is; at equal priority, proxy and router would wait some milliseconds for each
        # request and each token. All replicas have the same, so one that starts takes its share from those that serve.
        environment["RAY_worker_niceness"] = LAST_NICENESS
    return environment


def _deployment(config: ServeConfig) -> dict[str, Any]:
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": 0},  # the replica's CPUs are in its placement bundle
        # Enough to keep the engine's batch full while replicas are added; what is beyond waits at the router.
        "max_ongoing_requests": 2 * config.target_ongoing_requests,
        "max_surge_percent": 100,  # an update starts the new replica before the old one goes
        "max_constructor_retry_count": 1,  # an engine that cannot start says so at once
        "graceful_shutdown_timeout_s": config.drain_seconds,
        "health_check_timeout_s": 60,  # a busy laptop core answers late and is healthy
    }
    if config.replicas_min == config.replicas_max:
        return options | {"num_replicas": config.replicas_min}
    # The load is averaged over this time, so it cannot decide anything sooner.
    look_back = min(30.0, max(1.0, min(config.upscale_seconds, config.downscale_seconds)))
    return options | {
        "autoscaling_config": {
            "min_replicas": config.replicas_min,
            "initial_replicas": max(1, config.replicas_min),  # a model that cannot start says so now
            "max_replicas": config.replicas_max,
            "target_ongoing_requests": config.target_ongoing_requests,
            "upscale_delay_s": config.upscale_seconds,
            "downscale_delay_s": config.downscale_seconds,
            "look_back_period_s": look_back,
            "metrics_interval_s": min(10.0, look_back / 2),
        }
    }
