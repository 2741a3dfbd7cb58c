"""A CPU that would emulate bf16 is seen from what Linux says of it."""

from pathlib import Path

import pytest

from raylign import arithmetic
from raylign.arithmetic import engine_type, fast_products, fast_type, gains_by_bf16, multiplies_bf16

X86 = "processor : 0\nflags\t\t: fpu sse avx2 avx512f {}\n\nprocessor : 1\nflags\t\t: fpu sse avx2 avx512f {}\n"


@pytest.mark.parametrize("named", ["avx512_bf16", "amx_bf16 amx_tile"])
def test_x86_with_bf16_instructions(named: str) -> None:
    assert multiplies_bf16(X86.format(named, named))


def test_without_them_or_with_a_name_that_only_contains_theirs() -> None:
    assert not multiplies_bf16(X86.format("", ""))
    assert not multiplies_bf16(X86.format("avx512_bf16x", "notbf16"))


def test_arm() -> None:
    assert multiplies_bf16("processor\t: 0\nFeatures\t: fp asimd i8mm bf16 dgh\n")
    assert not multiplies_bf16("processor\t: 0\nFeatures\t: fp asimd\n")


@pytest.mark.parametrize("text", ["", "processor : 0\n"])
def test_where_nothing_is_known_of_the_processor_it_is_bf16(text: str) -> None:
    assert multiplies_bf16(text)


def test_gpus_compute_in_bf16_whatever_their_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(X86.format("", ""))
    monkeypatch.setattr(arithmetic, "_CPUINFO", tmp_path / "cpuinfo")
    assert (fast_type(0), fast_type(1)) == ("fp32", "bf16")
    assert (fast_products(0), fast_products(1)) == ("fp32", "bf16")
    assert (engine_type(0), engine_type(4)) == ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("vendor", "named", "gains"),
    [
        ("GenuineIntel", "avx512_bf16", False),
        ("GenuineIntel", "avx512_bf16 amx_bf16", True),
        ("AuthenticAMD", "avx512_bf16", True),
        ("AuthenticAMD", "", False),
    ],
)
def test_training_gains_by_bf16_on_intel_only_through_amx(vendor: str, named: str, gains: bool) -> None:
    assert gains_by_bf16(f"vendor_id\t: {vendor}\n" + X86.format(named, named)) is gains
