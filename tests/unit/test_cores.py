"""How many cores a process takes itself to have."""

import os

import psutil
import pytest

from raylign.cores import usable_cores


@pytest.mark.parametrize(
    ("physical", "allowed", "usable"),
    [(4, 8, 4), (4, 2, 2), (None, 3, 1)],
    ids=["two threads a core", "bound to two", "unknown to the system"],
)
def test_a_core_counts_once_and_only_if_allowed(
    monkeypatch: pytest.MonkeyPatch, physical: int | None, allowed: int, usable: int
) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: physical)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(allowed)), raising=False)
    assert usable_cores() == usable


def test_a_system_that_binds_no_process_to_cores_gives_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no `os.sched_getaffinity`."""
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 4)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == 4
