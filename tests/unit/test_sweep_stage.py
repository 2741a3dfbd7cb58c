"""What a sweep makes of a point that fails: a row, and an error at the end where no check of its own refused it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raylign.errors import TrainingLostError
from raylign.run_folder import RunFolder
from raylign.screen import Screen
from raylign.sweep.grid import grid
from raylign.sweep.stage import point_configs, sweep
from raylign.train import stage

DONE = {"heldout": {"pairs": 0}, "pairs_per_second": 1.0, "reference": "found", "loss_first": 1.0, "loss_last": 0.5}
REFUSED = {"refused": ["training stopped at step 3: the loss is not finite", "lower train.learning_rate"]}
POINTS = grid(["train.beta=0.1,0.3,0.5"])

Fit = Callable[[float], dict[str, Any]]


@pytest.fixture
def sweep_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Fit], list[str]]:
    """Sweeps over three β with this in the place of Ray Train, which is given the point's β; all else is real."""
    monkeypatch.setattr(stage, "prepare_tokens", lambda job, model: {"dropped": {}, "truncated": 0})
    monkeypatch.setattr(stage, "require_room", lambda *what, **sizes: None)
    configs = point_configs(None, ["model=owner/model"], POINTS, tmp_path / "pairs", tmp_path / "sweep")

    def run(fit: Fit) -> list[str]:
        def trainer(job: Any) -> Any:
            return SimpleNamespace(fit=lambda: SimpleNamespace(return_value=fit(job.config.train.beta)))

        monkeypatch.setattr(stage, "_trainer", trainer)
        return sweep(POINTS, configs, RunFolder(tmp_path / "sweep"), Screen())

    return run


def table(folder: Path) -> list[tuple[float, str]]:
    rows = json.loads((folder / "sweep" / "table.json").read_text())
    return [(row["settings"]["beta"], row["status"]) for row in rows]


def test_a_point_that_its_own_checks_refuse_is_a_row_and_the_sweep_goes_on(
    sweep_with: Callable[[Fit], list[str]], tmp_path: Path
) -> None:
    lines = sweep_with(lambda beta: REFUSED if beta == 0.3 else DONE)
    assert table(tmp_path) == [(0.1, "ok"), (0.3, REFUSED["refused"][0]), (0.5, "ok")]
    assert "failed: training stopped at step 3" in lines[2]


def test_what_no_check_refused_is_raised_after_all_points_and_tried_again_by_the_next_start(
    sweep_with: Callable[[Fit], list[str]], tmp_path: Path
) -> None:
    trained: list[float] = []

    def disk_full(beta: float) -> dict[str, Any]:
        trained.append(beta)
        if beta == 0.3:
            raise OSError(28, "No space left on device")
        return DONE

    with pytest.raises(TrainingLostError, match=r"training failed: .*No space left on device; run again to go on"):
        sweep_with(disk_full)
    assert trained == [0.1, 0.3, 0.5]
    (first, second, third) = table(tmp_path)
    assert (first, third) == ((0.1, "ok"), (0.5, "ok")), "what is finished is kept"
    assert "No space left on device" in second[1]

    def room_again(beta: float) -> dict[str, Any]:
        trained.append(beta)
        return DONE

    sweep_with(room_again)
    assert trained == [0.1, 0.3, 0.5, 0.3]
    assert table(tmp_path) == [(0.1, "ok"), (0.3, "ok"), (0.5, "ok")]
