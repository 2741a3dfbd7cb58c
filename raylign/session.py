"""The Ray session of a command: the cluster at hand, or a private local one while it runs. This acts."""

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from raylign.config import ClusterConfig
from raylign.errors import PlanError
from raylign.interrupt import handlers_kept

# Worker processes import raylign from here, also when it was never installed (a source tree, a Ray working_dir).
_IMPORT_ROOT = str(Path(__file__).resolve().parent.parent)

# Read by engines when they start, so it must be in the environment before Ray starts its first worker.
_LOCAL_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "RAY_TRAIN_V2_ENABLED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A laptop that loads models on all its cores lets a proxy wait longer than Serve's own five seconds.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Ray puts its workers behind all else on their host, which in a private cluster are the client and its request.
    "RAY_worker_niceness": "0",
    # Ray keeps an idle process for each logical CPU for ever, which in a private cluster are many more than there are
    # cores, and each takes a hundredth of one. Between tasks of one stage they stay.
    "RAY_num_workers_soft_limit": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "30000",
}
# What a shared cluster needs and a private one does not: each takes some thousandths of a core all the time, for which
# both threads of a training step wait.
_PRIVATE_ENVIRONMENT = {
    # Nobody knows where a private cluster serves its metrics, and nobody looks at what its processes take.
    "RAY_enable_metrics_collection": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "REPORTER_UPDATE_INTERVAL_MS": "60000",
    # Its one node is this host, of which no cloud gives notice.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}
_LOG_MONITOR = "/_private/log_monitor.py"
"""Part of the command line of Ray's process that follows the workers' output for drivers that print it."""


def prepare_environment(private: bool = False) -> None:
    """Set what Ray's processes must inherit, before Ray starts; what the user has set stays.

    Args:
        private: the cluster is one of this program's own, on this host alone.
    """
    for name, value in (_LOCAL_ENVIRONMENT | (_PRIVATE_ENVIRONMENT if private else {})).items():
        os.environ.setdefault(name, value)
    programs = str(Path(sys.executable).parent)  # ninja, which DeepSpeed calls by name, lies beside this Python
    if programs not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, [programs, os.environ.get("PATH")]))
    built = Path(sys.prefix) / "torch_extensions"
    if built.is_dir():  # what the set-up compiled for this very environment; torch's own cache is shared between all
        os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(built))


def init_ray(**settings: Any) -> None:
    """`ray.init` without Ray's words on the screen, and with the program's signal handlers still in place.

    Raises:
        ConnectionError, ValueError, RuntimeError, TimeoutError: `ray.init`'s own, where an address does not answer.
    """
    import ray

    with handlers_kept():
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **settings)


@contextmanager
def ray_session(cluster: ClusterConfig, logs: Path) -> Iterator[None]:
    """Connect to `cluster.address` or $RAY_ADDRESS, or start a private local cluster and end it afterwards.

    Ray's own logs of a private cluster lie in a short temporary folder while it runs (its socket paths have a
    length limit) and are moved to `logs`/ray at the end.

    Raises:
        PlanError: the address does not answer.
    """
    import ray

    address = cluster.address or os.environ.get("RAY_ADDRESS")
    prepare_environment(private=not address)
    if address:
        try:
            init_ray(address=address)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise PlanError(
                f"no Ray cluster answers at {address}", "start one, or unset cluster.address and RAY_ADDRESS"
            ) from error
        try:
            yield
        finally:
            ray.shutdown()
        return
    folder = Path(tempfile.mkdtemp(prefix="raylign-", dir="/tmp"))
    paths = os.pathsep.join(filter(None, [_IMPORT_ROOT, os.environ.get("PYTHONPATH")]))
    try:
        init_ray(
            num_cpus=cluster.local_cpus,
            include_dashboard=False,
            _temp_dir=str(folder),
            runtime_env={"env_vars": {"PYTHONPATH": paths}},
        )
        _end_log_monitor()
        yield
    finally:
        ray.shutdown()
        _keep_logs(folder, logs / "ray")
        shutil.rmtree(folder, ignore_errors=True)


def _end_log_monitor() -> None:
    """End the process that looks for new output ten times a second: `init_ray` has it printed nowhere."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # another one has ended
            if any(_LOG_MONITOR in argument for argument in process.cmdline()):
                process.terminate()


def _keep_logs(session: Path, target: Path) -> None:
    found = [path for path in session.glob("session_2*/logs") if path.is_dir()]
    if found:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(found[-1], target, symlinks=True, ignore_dangling_symlinks=True)
