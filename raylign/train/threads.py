"""How many threads a training worker computes with; pure."""


def threads_per_worker(physical_cores: int, usable_cpus: int, local_workers: int) -> int:
    """Threads for each of a host's workers, so that together they fill its cores once.

    Args:
        physical_cores: cores of the host, without their second hardware threads.
        usable_cpus: CPUs this process may run on.
        local_workers: training workers on the host.
    """
    return max(1, min(physical_cores, usable_cpus) // local_workers)
