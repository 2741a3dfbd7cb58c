"""The memory allocator of training workers on CPU. This acts (looks for files, gives memory back).

glibc's allocator fits a training step badly. A freed activation has no room for the next one of its size, since torch
asks for aligned memory (until glibc 2.38), and the thread in which Ray Train trains gets its memory from arenas that
glibc gives back to the system and asks for again in every step. With jemalloc, which Ray brings along, a worker holds
less memory.

What a step frees stays for the next one. Left to itself jemalloc gives free pages back within a step, whatever time it
is told to wait, and each step asks for a million of them anew. A step's many small tensors are cut out of whatever the
one before has freed, however large a piece; jemalloc's own limit on that had a worker hold some GiB more with every few
batches. Where free pages still come to much more than a step needs, the worker gives them back between two steps.
"""

import ctypes
import functools
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

_SETTINGS = "oversize_threshold:0,dirty_decay_ms:-1,thp:always,lg_extent_max_active_fit:64"
"""Free pages stay, whatever the time; those of large allocations too, which would have an arena of their own. Linux is
asked for pages of 2 MiB: what a step touches anew costs it hundreds of times fewer page faults. A free piece serves any
smaller request; jemalloc leaves one over 64 times as large alone, and step by step all that is free grows to such."""
_MORE = 1.1
"""How much of what a step has needed may be held after one."""


def allocator_environment(on_gpu: bool, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables with which a worker starts so that it takes jemalloc; none where it is not there or not wanted.

    Args:
        on_gpu: activations are not in host memory then.
        environment: of the process that asks; an LD_PRELOAD in it is the user's own choice, and stays.
    """
    if on_gpu or "LD_PRELOAD" in environment or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return {}
    import ray

    library = Path(ray.__file__).parent / "core" / "libjemalloc.so"
    return {"LD_PRELOAD": str(library), "MALLOC_CONF": _SETTINGS} if library.exists() else {}


def allocator_in_use() -> str:
    """`jemalloc`, or `default` for the C library's or another one."""
    maps = Path("/proc/self/maps")
    return "jemalloc" if maps.exists() and "libjemalloc" in maps.read_text(encoding="utf-8") else "default"


class FreeMemory:
    """Tells after each step whether free memory has come to so much that it should be given back."""

    def __init__(self) -> None:
        self.needed = 0
        """Most bytes held after a step that began without free memory."""
        self.from_nothing = True
        """Whether the next step begins so."""

    def is_too_much(self, held: int) -> bool:
        """Args:
        held: bytes that the process holds after a step, which is all that it ever held in it.
        """
        if self.from_nothing:
            self.needed = max(self.needed, held)
        self.from_nothing = held > _MORE * self.needed
        return self.from_nothing

    def after_step(self) -> None:
        """Give free memory back if it is too much."""
        if _mallctl() and self.is_too_much(psutil.Process().memory_info().rss):
            give_back()


def give_back() -> None:
    """Give free memory back to the system, if the allocator is jemalloc: that of a phase whose tensors have other sizes
    than the next one's, for which it would be of little use (jemalloc(3), `arena.<i>.purge` of all arenas).
    """
    if mallctl := _mallctl():
        mallctl(b"arena.4096.purge", None, None, None, 0)


@functools.cache
def _mallctl() -> Any:
    """What jemalloc is told by; None where another allocator is in use, or a build of it that prefixes its names."""
    return getattr(ctypes.CDLL(None), "mallctl", None) if allocator_in_use() == "jemalloc" else None
