"""A Ray cluster of two nodes on this machine whose second node can be lost: for benchmarks of faults. This acts.

Each node is a `ray start --block` with ports and a temporary folder of this cluster's own, so it stands beside any
other Ray on the machine. Everything that descends from it carries a mark in its environment: that is how a process of
a dead driver, node or actor is still found, and how none is left behind.
"""

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil
from bench import ROOT

from raylign.session import prepare_environment

_MARK = "RAYLIGN_BENCHMARK_CLUSTER"
_HOST = "127.0.0.1"
_HEALTH = {
    # A killed raylet is declared dead in seconds and not in Ray's default quarter of a minute; a live one may
    # be late on a busy machine, and is given five times five seconds.
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "5",
}
_CPUS = (1, 7)
"""Logical CPUs of the head, beside the driver, and of the node that is lost: most actors are on that one."""
_START_SECONDS = 300.0


class TwoNodes:
    """The cluster, for as long as a `with` block runs; a driver connects to `address` with `access` in its environment.

    Ray binds a cluster that others can join to all of the host's addresses, so it has a token of its own.
    """

    def __enter__(self) -> "TwoNodes":
        prepare_environment()
        self.mark, self.started = uuid.uuid4().hex, 0
        self.access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
        own = {_MARK: self.mark, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.environment = os.environ | _HEALTH | self.access | own
        self.environment.pop("RAY_ADDRESS", None)
        self.folder = Path(tempfile.mkdtemp(prefix="rn-", dir="/tmp"))  # short: Ray's socket paths have a length limit
        port, client = _free_ports(2)
        self.address = f"{_HOST}:{port}"
        try:
            self.head = self._start(
                "--head", f"--port={port}", f"--ray-client-server-port={client}",
                "--include-dashboard=false", f"--num-cpus={_CPUS[0]}",
            )  # fmt: skip
            self.second = self._start_second()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        left = self.processes()
        for process in left:
            _kill(process)
        psutil.wait_procs(left, timeout=10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        """Everything that was started by this cluster or with its environment, and runs."""
        return [process for process in psutil.process_iter() if _environment(process).get(_MARK) == self.mark]

    def named(self, *words: str) -> list[psutil.Process]:
        """Those whose command line holds all of these words."""
        return [process for process in self.processes() if all(word in command_line(process) for word in words)]

    def lose_second(self) -> list[str]:
        """SIGKILL the second node's raylet, which takes its actors along; returns what they were called."""
        raylet = self._raylet(self.second)
        workers = [command_line(process) for process in raylet.children(recursive=True)]
        raylet.kill()
        self.second.wait(timeout=60)  # `ray start --block` ends what is left of a node whose raylet is gone
        return sorted(line for line in workers if line.startswith("ray::") and "IDLE" not in line)

    def replace_second(self) -> None:
        """A new node in the place of the lost one."""
        self.second = self._start_second()

    def _start_second(self) -> "subprocess.Popen[bytes]":
        return self._start(f"--address={self.address}", f"--num-cpus={_CPUS[1]}")

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        agent, agent_grpc, metrics = _free_ports(3)
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={_HOST}"]
        command += [f"--temp-dir={self.folder}"]
        command += ["--disable-usage-stats", "--min-worker-port=0", "--max-worker-port=0", *arguments]
        command += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
        command += [f"--metrics-export-port={metrics}", f"--object-store-memory={200 * 2**20}"]
        self.started += 1
        log = self.folder / f"start-{self.started}.log"
        with log.open("wb") as file:
            node = subprocess.Popen(command, env=self.environment, stdout=file, stderr=file, start_new_session=True)
        deadline = time.monotonic() + _START_SECONDS
        while "Ray runtime started" not in (words := log.read_text(errors="replace")):
            if node.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"a Ray node did not start:\n{words[-3000:]}")
            time.sleep(0.1)
        return node

    def _raylet(self, node: "subprocess.Popen[bytes]") -> psutil.Process:
        for process in psutil.Process(node.pid).children(recursive=True):
            if process.name() == "raylet":
                return process
        raise LookupError("the node has no raylet")


def pick(found: list[psutil.Process]) -> psutil.Process | None:
    """One of them, by chance."""
    return random.choice(found) if found else None


def command_line(process: psutil.Process) -> str:
    """As it is now, without the spaces that a renamed process fills its old one up with; empty where it is gone."""
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        found: dict[str, str] = process.environ()
    except (psutil.Error, OSError):
        return {}
    return found


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.Error:
        return


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((_HOST, 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
