"""What this worker's device can do and has held: its peak in matrix products, its memory. This acts (measures)."""

import resource
import statistics
import time

import torch

_WARM_UP, _REPEATS = 2, 5


def peak_bytes(device: torch.device) -> int:
    """The most memory this process has held: on the GPU, or resident on the host."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_flops_per_second(device: torch.device, dtype: torch.dtype) -> float:
    """Median speed of a square matrix product in a training type, in FLOP/s; takes about a second.

    The matrix is drawn by a generator of its own, as a resumed run's is where the run had left it.
    All workers call it at the same time, as they train: those of one host share its cores.
    """
    width = 8192 if device.type == "cuda" else 2048
    generator = torch.Generator(device).manual_seed(0)
    a = torch.randn(width, width, device=device, generator=generator).to(dtype)
    seconds = []
    for _ in range(_WARM_UP + _REPEATS):
        _wait(device)
        started = time.perf_counter()
        torch.mm(a, a)
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return 2 * width**3 / statistics.median(seconds[_WARM_UP:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
