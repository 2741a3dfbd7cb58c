"""The allocator of training workers: really loaded, only where it should be, and its free memory bounded."""

import os
import platform
import subprocess
import sys

import pytest

from raylign.train.allocator import FreeMemory, allocator_environment

ASK = "from raylign.train.allocator import allocator_in_use; print(allocator_in_use())"

HELD = """
import psutil
from raylign.train import allocator
held_bytes = lambda: psutil.Process().memory_info().rss
kept = [bytearray(2**24) for _ in range(20)]
held = [held_bytes()]
del kept
held.append(held_bytes())
allocator.give_back()
held.append(held_bytes())
print(*held)
"""

REUSED = """
import psutil
held_bytes = lambda: psutil.Process().memory_info().rss
kept = bytearray(2**30)
held = [held_bytes()]
del kept
kept = [bytearray(2**22) for _ in range(200)]
held.append(held_bytes())
print(*held)
"""


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="Ray brings it for these alone")
def test_a_process_that_starts_with_these_variables_has_jemalloc() -> None:
    for variables, expected in (({}, "default"), (allocator_environment(False, {}), "jemalloc")):
        done = _run(ASK, variables)
        assert (done.stdout.strip(), done.stderr) == (expected, "")


def test_gpus_and_a_choice_of_ones_own_are_left_alone() -> None:
    assert allocator_environment(True, {}) == {}
    assert allocator_environment(False, {"LD_PRELOAD": "libtcmalloc.so"}) == {}


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="Ray brings it for these alone")
def test_free_memory_stays_until_it_is_given_back() -> None:
    full, free, given_back = _held(HELD)
    assert abs(full - free) < 2**24
    assert given_back < full - 18 * 2**24


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="Ray brings it for these alone")
def test_one_large_piece_that_is_free_serves_many_small_requests() -> None:
    large, small = _held(REUSED)
    assert small < large + 2**26


def _held(script: str) -> list[int]:
    """Bytes that a process under the allocator says it held."""
    return [int(held) for held in _run(script, allocator_environment(False, {})).stdout.split()]


def _run(script: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A process of its own that runs a script, with these variables and no other choice of an allocator."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"} | variables
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)


def test_free_memory_is_too_much_where_a_step_held_more_than_one_has_needed() -> None:
    memory = FreeMemory()
    held = [1000, 1090, 1110, 900, 1000, 1200, 1200, 1300, 1330]
    assert [at for at, bytes_ in enumerate(held) if memory.is_too_much(bytes_)] == [2, 5, 8]
