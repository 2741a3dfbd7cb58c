"""A private Ray and the program that started it: who hears a signal."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray

STOPPED = """
import os, signal, sys, time
from pathlib import Path
from raylign import interrupt
from raylign.config import ClusterConfig
from raylign.session import ray_session
interrupt.install()
try:
    with ray_session(ClusterConfig(), Path(sys.argv[1])):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_polite_kill_stops_the_program_and_not_ray_under_it(tmp_path: Path) -> None:
    """Ray's own handler ends the cluster, and its driver aborts (exit code -6)."""
    ended = subprocess.run(
        [sys.executable, "-c", STOPPED, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "stopped\n"), ended.stderr[-2000:]
