"""The memory allocator of training workers on CPU. This acts (looks for files).

glibc's allocator fits a training step badly. A freed activation has no room for the next one of its size, since torch
asks for aligned memory (until glibc 2.38), and the thread in which Ray Train trains gets its memory from arenas that
glibc gives back to the system and asks for again in every step. With jemalloc, which Ray brings along, a worker holds
less memory, and gives none of it back between its steps.
"""

import platform
import sys
from collections.abc import Mapping
from pathlib import Path

_SETTINGS = "oversize_threshold:0,dirty_decay_ms:-1"
"""What a step frees stays for the next one. Large allocations would have an arena of their own that gives them back at
once; and as soon as free pages may be given back at all, after 10 s or 60, a step asks for a million of them anew."""


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
