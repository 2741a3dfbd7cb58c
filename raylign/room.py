"""Whether the cluster at hand can ever place what a stage asks for; asked before the stage starts. This acts."""

from raylign.errors import PlanError


def require_room(stage: str, cpus: float, gpus: float, cure: str) -> None:
    """Raise a PlanError where `cpus` logical CPUs and `gpus` GPUs exceed what the cluster has or may grow to.

    Without this a stage that asks for too much waits for ever, and Ray says so only in its logs.
    """
    have = cluster_limits()
    for name, unit, wanted in (("CPU", "logical CPUs", cpus), ("GPU", "GPUs", gpus)):
        if wanted > have.get(name, 0):
            raise PlanError(f"{stage} needs {wanted:g} {unit} and the cluster has {have.get(name, 0):g}", cure)


def cluster_room() -> dict[str, float]:
    """Resources by name that are free now, with what the cluster's autoscaler may add."""
    import ray

    have, limits = ray.cluster_resources(), cluster_limits()
    free: dict[str, float] = ray.available_resources()
    return {name: free.get(name, 0.0) + most - have.get(name, 0.0) for name, most in limits.items()}


def cluster_limits() -> dict[str, float]:
    """Resources by name: what the cluster has now, or what its autoscaler may grow it to, if that is more."""
    import ray
    from ray._private.state import state  # Ray's own view of its autoscaler's limits; it has no public form

    limits: dict[str, float] = dict(ray.cluster_resources())
    for name, most in (state.get_max_resources_from_cluster_config() or {}).items():
        limits[name] = max(limits.get(name, 0), most)
    return limits
