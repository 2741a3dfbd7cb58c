"""How many threads a training worker computes with; pure."""


def threads_per_worker(cores: int, local_workers: int) -> int:
    """Threads for each of a host's workers, so that together they fill its cores once.

    Args:
        cores: cores of the host that they may use.
        local_workers: training workers on the host.
    """
    return max(1, cores // local_workers)
