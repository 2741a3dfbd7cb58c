"""Ray and the program that started or joined it: who hears a signal."""

import os
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


PRINTED_NOWHERE = """
import sys
from pathlib import Path
import psutil, ray
from raylign.config import ClusterConfig
from raylign.session import ray_session
with ray_session(ClusterConfig(local_cpus=1), Path(sys.argv[1])):
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
    below = psutil.Process().children(recursive=True)
    started = [process.as_dict(["cmdline"])["cmdline"] or [] for process in below]  # none of one that has ended
    assert any("gcs_server" in word for words in started for word in words), started
    print(sum("log_monitor" in word for words in started for word in words))
"""


def test_its_own_cluster_has_no_process_that_follows_output_for_nobody(tmp_path: Path) -> None:
    program = [sys.executable, "-c", PRINTED_NOWHERE, str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert (ended.returncode, ended.stdout) == (0, "0\n"), ended.stderr[-2000:]
