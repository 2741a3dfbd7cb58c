"""How a training worker computes on a CPU: with how many threads, and without numbers next to zero. This acts."""

import os

import torch

from raylign.cores import usable_cores
from raylign.train.threads import threads_per_worker


def prepare_cpu(local_workers: int) -> None:
    """Set this thread up to train on CPU, as one of so many workers of its host.

    Call it before the thread's first work with torch: the threads that help it do as it does when they are started.
    Numbers below fp32's smallest normal one, 1.2e-38, become zero. Gradients of losses that have saturated can be
    such, and a matrix product of them takes up to two hundred times as long as one of others.
    """
    os.environ["DS_ACCELERATOR"] = "cpu"  # also on a host that has a GPU
    # Ray sets OMP_NUM_THREADS from logical CPUs, which are places for actors and not cores.
    torch.set_num_threads(threads_per_worker(usable_cores(), local_workers))
    torch.set_flush_denormal(True)
