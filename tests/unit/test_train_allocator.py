"""The allocator of training workers: it is really loaded, and only where it should be."""

import os
import platform
import subprocess
import sys

import pytest

from raylign.train.allocator import allocator_environment

ASK = "from raylign.train.allocator import allocator_in_use; print(allocator_in_use())"


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="Ray brings it for these alone")
def test_a_process_that_starts_with_these_variables_has_jemalloc() -> None:
    for variables, expected in (({}, "default"), (allocator_environment(False, {}), "jemalloc")):
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"} | variables
        done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True)
        assert (done.stdout.strip(), done.stderr) == (expected, "")


def test_gpus_and_a_choice_of_ones_own_are_left_alone() -> None:
    assert allocator_environment(True, {}) == {}
    assert allocator_environment(False, {"LD_PRELOAD": "libtcmalloc.so"}) == {}
