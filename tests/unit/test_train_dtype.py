"""What `train.dtype=auto` comes to is settled when a run begins, and stays with it on whatever host it goes on."""

from pathlib import Path

import pytest

from raylign.config import LoopConfig, load_config
from raylign.run_folder import RunFolder
from raylign.train import stage
from raylign.train.job import Job


def settled(run: Path, config: LoopConfig) -> str:
    """The type that training in this run folder computes in."""
    folder = RunFolder.open(run, config, ["test"])
    folder.stage("train")
    try:
        return stage._settle_dtype(Job(config, "bundled", run, run / "pairs"), folder).config.train.dtype
    finally:
        folder.close()


@pytest.mark.parametrize("fast", ["bf16", "fp32"])
def test_it_follows_the_host_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: str) -> None:
    monkeypatch.setattr(stage, "fast_type", lambda gpus: fast)
    assert settled(tmp_path, LoopConfig()) == fast
    monkeypatch.setattr(stage, "fast_type", lambda gpus: "another host's")
    assert settled(tmp_path, LoopConfig()) == fast


def test_what_the_user_says_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "fast_type", lambda gpus: "bf16")
    assert settled(tmp_path, load_config(overrides=["train.dtype=fp32"])) == "fp32"


def test_zero_3_on_one_cpu_worker_is_never_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "fast_type", lambda gpus: "fp32")
    assert settled(tmp_path, load_config(overrides=["train.zero_stage=3"])) == "bf16"
