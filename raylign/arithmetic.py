"""Which floating-point type a host multiplies matrices in fast. Reads /proc/cpuinfo, and imports nothing heavy."""

from pathlib import Path

_MULTIPLIES_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""What x86 (the first two) and Arm processors call the instructions for products of bf16 matrices."""
_CPUINFO = Path("/proc/cpuinfo")


def fast_type(gpus: int) -> str:
    """`bf16`, or `fp32` on CPUs without instructions for bf16.

    Those emulate its products, at a quarter of fp32's speed and with other roundings for every size of a batch.

    Args:
        gpus: GPUs that compute; 0 where this host's CPU does.
    """
    return "bf16" if gpus or multiplies_bf16(_cpuinfo()) else "fp32"


def fast_products(gpus: int) -> str:
    """`bf16` or `fp32`: what bf16 weights are multiplied in faster, by many rows at a time as in training.

    It is `fast_type`, and fp32 on Intel's CPUs that have instructions for bf16 but no AMX: those do half as many
    products as fp32's. Linux says which processor it is; nothing is measured, so that all runs on a host agree.

    Args:
        gpus: GPUs that compute; 0 where this host's CPU does.
    """
    return "bf16" if gpus or gains_by_bf16(_cpuinfo()) else "fp32"


def engine_type(gpus: int) -> str:
    """The same in vLLM's words: `bfloat16` or `float32`."""
    return {"bf16": "bfloat16", "fp32": "float32"}[fast_type(gpus)]


def multiplies_bf16(cpuinfo: str) -> bool:
    """Whether a text such as /proc/cpuinfo's, if it names a processor's features at all, has those for bf16."""
    features = [
        line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith(("flags", "Features"))
    ]
    return not features or any(_MULTIPLIES_BF16.intersection(words) for words in features)


def gains_by_bf16(cpuinfo: str) -> bool:
    """Whether a text such as /proc/cpuinfo's is of a processor that multiplies bf16 faster than fp32."""
    return multiplies_bf16(cpuinfo) and ("GenuineIntel" not in cpuinfo or "amx_bf16" in cpuinfo.split())


def _cpuinfo() -> str:
    return _CPUINFO.read_text(encoding="utf-8") if _CPUINFO.exists() else ""
