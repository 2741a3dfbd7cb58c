"""How a training worker computes on a CPU: with how many threads, and without numbers next to zero. This acts."""

import os

import psutil
import torch


def prepare_cpu(local_workers: int) -> None:
    """Set this thread up to train on CPU, as one of so many workers of its host.

    Call it before the thread's first work with torch: the threads that help it do as it does when they are started.
    Numbers below fp32's smallest normal one, 1.2e-38, become zero. The gradients of pairs that a policy has long learnt
    are such, and a matrix product of them takes up to two hundred times as long as one of others.
    """
    os.environ["DS_ACCELERATOR"] = "cpu"  # also on a host that has a GPU
    # Ray sets OMP_NUM_THREADS from logical CPUs, which are places for actors and not cores.
    cores = psutil.cpu_count(logical=False) or 1
    torch.set_num_threads(threads_per_worker(cores, len(os.sched_getaffinity(0)), local_workers))
    torch.set_flush_denormal(True)


def threads_per_worker(physical_cores: int, usable_cpus: int, local_workers: int) -> int:
    """Threads for each of a host's workers, so that together they fill its cores once.

    Args:
        physical_cores: cores of the host, without their second hardware threads.
        usable_cpus: CPUs this process may run on.
        local_workers: training workers on the host.
    """
    return max(1, min(physical_cores, usable_cpus) // local_workers)
