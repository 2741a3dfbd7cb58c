"""How many cores of its host this process may compute on. Asks the operating system."""

import os

import psutil


def usable_cores() -> int:
    """Physical processor cores this process may use; a second hardware thread on a core adds no arithmetic."""
    physical = psutil.cpu_count(logical=False) or 1
    return min(physical, len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else physical
