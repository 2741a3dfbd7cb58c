"""How many GPUs this machine has, told without loading a driver, torch or Ray. This acts (reads /dev and /proc)."""

import os
from pathlib import Path

_OTHER_ACCELERATORS = ("dev/kfd", "dev/accel", "dev/accel0", "dev/dxg", "dev/davinci0", "dev/vfio/0", "dev/hl0")
"""AMD, TPU, WSL's GPUs and others: they are there, but how many Ray counts is not for us to say."""


def local_gpus(root: Path = Path("/")) -> int | None:
    """GPUs that a private local Ray would find; None where only Ray can tell.

    Args:
        root: The file system's root.
    """
    if any((root / name).exists() for name in _OTHER_ACCELERATORS):
        return None
    found = len([*root.glob("proc/driver/nvidia/gpus/*")]) or len([*root.glob("dev/nvidia[0-9]*")])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    named = [] if visible in ("", "NoDevFiles", "-1") else visible.split(",")
    if any(name.startswith("MIG") for name in named):
        return None  # slices of a GPU, each of which counts as one
    return min(found, len(named))
