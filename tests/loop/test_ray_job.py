"""`jobs/pairs.py` submitted as a Ray Job to a local cluster makes the same pairs a person's own shell makes."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from provider import Provider

pytestmark = pytest.mark.loop
ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
KEY = "sk-test-0123456789-of-the-job"


def free_ports(count: int) -> list[int]:
    listeners = [socket.socket() for _ in range(count)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@pytest.fixture
def cluster() -> Iterator[dict[str, str]]:
    """A Ray head started as a cluster's would be, with the reviser's key in its environment; yields a client's one."""
    folder = Path(tempfile.mkdtemp(prefix="rj-", dir="/tmp"))
    gcs, dashboard, client, agent = free_ports(4)
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "REVISER_KEY": KEY,
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    environment.pop("RAY_ADDRESS", None)
    token = folder / "auth_token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    start = [
        str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=8",
        f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
        f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}",
        "--object-store-memory=200000000", f"--temp-dir={folder}",
        "--disable-usage-stats",
    ]  # fmt: skip
    head = subprocess.Popen(start, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield {**environment, "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}", "session": str(folder)}
    head.terminate()
    head.wait(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


def wait_for_dashboard(client: dict[str, str]) -> None:
    import httpx

    for _ in range(120):
        try:
            answer = httpx.get(f"{client['RAY_API_SERVER_ADDRESS']}/api/version", timeout=2, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.5)
        else:
            assert answer.status_code == 401, "a request without the token must be turned away"
            return
    raise AssertionError("the cluster's job server did not come up within a minute")


def test_pairs_job(cluster: dict[str, str], tmp_path: Path, bundled_model: Path) -> None:
    wait_for_dashboard(cluster)
    out = tmp_path / "run"
    with Provider(key=KEY) as provider:
        submit = [
            str(BIN / "ray"), "job", "submit", "--working-dir", str(working_copy(tmp_path)), "--",
            "python", "jobs/pairs.py", "--config", "jobs/conf/smollm2_cpu.yaml", "--out", str(out),
            "prompts.limit=6", "sample.max_tokens=24", "revise.model=editor", f"revise.base_url={provider.url}",
            "revise.api_key_env=REVISER_KEY",
        ]  # fmt: skip
        job = run_when_ready(submit, cluster)
    assert job.returncode == 0, job.stdout + job.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["drafts"] == 6
    assert summary["drafts"] == summary["pairs"] + sum(summary["rejected"].values())
    assert summary["pairs"] > 0
    listing = subprocess.run(
        [str(BIN / "ray"), "job", "list"], env=cluster, capture_output=True, text=True, check=True
    ).stdout
    assert KEY not in job.stdout + job.stderr + listing
    assert files_with(KEY, out) == []
    assert files_with(KEY, Path(cluster["session"])) == []


def run_when_ready(submit: list[str], client: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Submit, again while the new cluster's first node has no agent yet to take a job."""
    for _ in range(15):
        job = subprocess.run(submit, env=client, capture_output=True, text=True, timeout=400)
        if "No available agent" not in job.stderr + job.stdout:
            break
        time.sleep(2)
    return job


def working_copy(folder: Path) -> Path:
    """What a user's checkout holds for a job, without the environment and runs that lie beside it."""
    copy = folder / "checkout"
    for name in ("raylign", "jobs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def files_with(text: str, folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes()
    ]
