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


def engine_type(gpus: int) -> str:
    """The same in vLLM's words: `bfloat16` or `float32`."""
    return {"bf16": "bfloat16", "fp32": "float32"}[fast_type(gpus)]


def multiplies_bf16(cpuinfo: str) -> bool:
    """Whether a text such as /proc/cpuinfo's, if it names a processor's features at all, has those for bf16."""
    features = [
        line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith(("flags", "Features"))
    ]
    return not features or any(_MULTIPLIES_BF16.intersection(words) for words in features)


def _cpuinfo() -> str:
    return _CPUINFO.read_text(encoding="utf-8") if _CPUINFO.exists() else ""
