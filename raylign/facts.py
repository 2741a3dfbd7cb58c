"""Asks Ray, Ray Serve and the limiter what a stage waits for; `waiting` has the words. This acts.

A watchdog's thread calls these. They may raise and may take long: the watchdog bears both.
"""

import sys
from typing import Any

from raylign.waiting import ClusterFacts, cluster_words, overlap_words, reviser_words, serving_words

_ANSWER_SECONDS = 3.0
_ENGINE = "vLLMEngineStageUDF"
"""In the class names of the actors that `ray.data.llm` runs engines in."""


def cluster_waits() -> str:
    """What the endpoint, or else the cluster of the current Ray session, is still to start; empty where nothing is."""
    import ray

    if not ray.is_initialized():
        return ""
    return _serving_waits() or cluster_words(_cluster_facts())


def reviser_waits(limiter: Any, max_in_flight: int | None, section: str = "revise") -> str:
    """What the actors that ask wait for: to start, or what their limiter says."""
    import ray

    starting = cluster_waits()
    return starting or reviser_words(ray.get(limiter.report.remote(), timeout=_ANSWER_SECONDS), max_in_flight, section)


def overlap_waits(limiter: Any, keeper: Any, max_in_flight: int | None, total: int) -> str:
    """What sampling and revising at once wait for: engines or reviser actors to start, or what either side says."""
    import ray

    if starting := cluster_waits():
        return starting
    figures, kept = ray.get([limiter.report.remote(), keeper.report.remote()], timeout=_ANSWER_SECONDS)
    return overlap_words(figures, max_in_flight, kept.drafts, total)


def engine_restarts() -> tuple[int, int]:
    """How many drafting engines this job has, and how often Ray has started them again in all."""
    from ray._private.state import actors

    engines = [
        actor
        for actor in actors(job_id=_job()).values()
        if _ENGINE in actor["ActorClassName"] and actor["State"] != "DEAD"
    ]
    return len(engines), sum(actor["NumRestarts"] for actor in engines)


def _job() -> Any:
    import ray

    return ray.JobID.from_hex(ray.get_runtime_context().get_job_id())


def _cluster_facts() -> ClusterFacts:
    import ray
    from ray._private.state import actors  # Ray's public listing of actors needs the dashboard, which is off locally
    from ray.util import placement_group_table

    groups = [group for group in placement_group_table().values() if group["state"] in ("PENDING", "RESCHEDULING")]
    states = ("PENDING_CREATION", "RESTARTING")  # the leases of an actor that died count as requests in flight still
    starting = [actor for state in states for actor in actors(job_id=_job(), actor_state_name=state).values()]
    return ClusterFacts(
        total=ray.cluster_resources(),
        free=ray.available_resources(),
        pending_groups=[_sum(group["bundles"].values()) for group in groups],
        pending_actors=[actor["ActorClassName"].rsplit(".", 1)[-1] for actor in starting],
    )


def _sum(bundles: Any) -> dict[str, float]:
    total: dict[str, float] = {}
    for bundle in bundles:
        for name, amount in bundle.items():
            total[name] = total.get(name, 0.0) + float(amount)
    return total


def _serving_waits() -> str:
    serve = sys.modules.get("ray.serve")
    if serve is None:  # this process serves nothing, and importing it takes seconds
        return ""
    parts = {
        name: (str(getattr(part.status, "value", part.status)), part.message)
        for application in serve.status().applications.values()
        for name, part in application.deployments.items()
    }
    return serving_words(parts)
