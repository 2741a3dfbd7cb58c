"""How a worker computes on CPU: threads that fill the cores once, and numbers next to zero that are zero in each."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from raylign.train.cpu import prepare_cpu
from raylign.train.threads import threads_per_worker


@pytest.mark.parametrize(("cores", "workers", "threads"), [(2, 1, 2), (2, 2, 1), (2, 8, 1), (32, 4, 8), (8, 3, 2)])
def test_workers_of_a_host_fill_its_cores_once(cores: int, workers: int, threads: int) -> None:
    assert threads_per_worker(cores, workers) == threads


def test_numbers_that_slow_every_product_down_are_zero_in_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """More elements than one thread is given; 1e-40 is between 0 and fp32's smallest normal number, 1.2e-38."""
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")  # put back at the end
    small, smallest = torch.full((2**20,), 1e-40), torch.finfo(torch.float32).smallest_normal
    assert (small * 1.0 != 0.0).all()

    def compute() -> tuple[bool, bool]:
        prepare_cpu(local_workers=1)
        return bool((small * 1.0 == 0.0).all()), bool((torch.full((2**20,), smallest) * 1.0 != 0.0).all())

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(compute).result() == (True, True)
