"""A run folder belongs to one configuration and one process, and remembers what is finished."""

import json
from pathlib import Path

import pytest

from raylign.config import load_config
from raylign.errors import InputError, RunFolderError
from raylign.run_folder import RunFolder, write_json


def test_opens_again_with_the_same_configuration(tmp_path: Path) -> None:
    for _ in range(2):
        run = RunFolder.open(tmp_path / "run", load_config(), ["raylign", "loop"])
        run.close()
    starts = json.loads((tmp_path / "run" / "run.json").read_text())["starts"]
    assert len(starts) == 2
    assert all(start["ended"] and start["packages"]["ray"] for start in starts)


def test_refuses_another_configuration_and_shows_the_difference(tmp_path: Path) -> None:
    RunFolder.open(tmp_path, load_config(), []).close()
    with pytest.raises(RunFolderError, match=r"train\.beta: 0\.3 there, 0\.2 here"):
        RunFolder.open(tmp_path, load_config(None, ["train.beta=0.2"]), [])
    RunFolder.open(tmp_path, load_config(), []).close()  # the refusal left it as it was, and unlocked


def test_limits_and_pools_may_change_between_starts(tmp_path: Path) -> None:
    """They say how the work is done and not what comes out of it; the folder keeps what holds now."""
    RunFolder.open(tmp_path, load_config(), []).close()
    changed = load_config(None, ["revise.timeout_seconds=5", "revise.requests_per_minute=60", "cluster.local_cpus=16"])
    RunFolder.open(tmp_path, changed, []).close()
    assert "requests_per_minute: 60" in (tmp_path / "config.yaml").read_text()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    held = RunFolder.open(tmp_path, load_config(), [])
    with pytest.raises(RunFolderError, match="another raylign process"):
        RunFolder.open(tmp_path, load_config(), [])
    held.close()


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        RunFolder.open(tmp_path / "file" / "run", load_config(), [])


def test_a_stage_is_finished_only_with_its_figures(tmp_path: Path) -> None:
    run = RunFolder.open(tmp_path, load_config(), [])
    run.stage("pairs")
    assert run.finished("pairs") is None
    run.finish("pairs", {"pairs": 3}, seconds=1.26)
    assert run.finished("pairs") == {"pairs": 3, "seconds": 1.3}
    run.close()


def test_metrics_are_one_object_a_line(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log_metrics("train", step=1, loss=1.0)
    run.log_metrics("train", step=2, loss=0.9)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["step"], row["loss"]) for row in rows] == [("train", 1, 1.0), ("train", 2, 0.9)]


def test_json_is_whole_or_absent_and_never_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []
