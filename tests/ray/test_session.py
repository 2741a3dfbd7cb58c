"""Ray and the program that started or joined it: who hears a signal."""

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
    with ray_session(ClusterConfig(address=sys.argv[2] or None), Path(sys.argv[1])):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.parametrize("joins", [False, True], ids=["its own cluster", "a cluster that it joins"])
def test_a_polite_kill_stops_the_program_and_not_ray_under_it(ray_cluster: None, joins: bool, tmp_path: Path) -> None:
    """Ray's own handler ends a cluster of the program's own, and its driver aborts (−6), or exits without a word."""
    import ray

    address = ray.get_runtime_context().gcs_address if joins else ""
    program = [sys.executable, "-c", STOPPED, str(tmp_path), address]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (0, "stopped\n"), ended.stderr[-2000:]
