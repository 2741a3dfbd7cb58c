"""Trains at every point of a grid, one after another in one Ray session, and keeps the table. This acts.

<out>/sweep/<point>/      a run folder each, as `raylign train` writes it
<out>/sweep/table.json    every point so far and its figures; the same as table.csv and table.html
"""

import os
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig, load_config
from raylign.errors import TrainingError, TrainingLostError
from raylign.loop import TRAIN, run_stage, write_summary
from raylign.report.stage import write_report
from raylign.run_folder import RunFolder, write_json, write_text
from raylign.screen import Screen
from raylign.session import ray_session
from raylign.sweep.grid import Point
from raylign.sweep.table import Row, as_csv, as_page, lines, row

_ALWAYS_SHOWN = ("objective", "beta", "learning_rate")


def point_configs(
    path: Path | None, overrides: list[str], points: Sequence[Point], pairs: Path, out: Path
) -> list[LoopConfig]:
    """The configuration of each point; all train on `pairs` and share its reference.

    Raises:
        ConfigError, InputError: as `load_config`, for whichever point comes first.
    """
    configs = [load_config(path, [*overrides, *point.overrides]) for point in points]
    for config in configs:
        config.train.pairs = str(pairs.resolve())
        if config.train.reference_folder is None and not os.access(pairs, os.W_OK):
            config.train.reference_folder = str(out.resolve())
    return configs


def run_sweep(points: Sequence[Point], configs: Sequence[LoopConfig], folder: RunFolder, screen: Screen) -> list[str]:
    """Start or reach Ray where a point is still to be trained, and sweep; see `sweep`."""
    finished = [RunFolder(folder.path / point.name).finished(TRAIN.folder) for point in points]
    with nullcontext() if all(finished) else ray_session(configs[0].cluster, folder.path / "logs"):
        return sweep(points, configs, folder, screen)


def sweep(points: Sequence[Point], configs: Sequence[LoopConfig], folder: RunFolder, screen: Screen) -> list[str]:
    """Train at each point that is not finished yet; returns the table's lines for a person. Ray must be running.

    A point whose training fails is a row that says so, and is tried again by the next start. What training's own checks
    refuse, as too high a learning rate, is a result; anything else, such as a full disk or memory that a point's own
    settings need, is raised once all points have had their turn.

    Raises:
        TrainingLostError: the first that training did not end by its own checks.
        RunFolderError: a point's folder holds a run with other settings.
        InputError, ModelError, PlanError: as `raylign.train.stage.run`.
    """
    rows, lost = list[Row](), list[TrainingLostError]()
    varied = sorted({override.partition("=")[0].partition(".")[2] for point in points for override in point.overrides})
    for number, (point, config) in enumerate(zip(points, configs, strict=True), start=1):
        screen.say(f"{number} of {len(points)}: {' '.join(point.overrides)}")
        command = ["raylign", "sweep", *point.overrides]
        with closing(RunFolder.open(folder.path / point.name, config, command)) as run:
            rows.append(_train(config, run, screen, _settings(config, varied), lost))
        _write(folder.path, rows)
    if lost:
        raise lost[0]
    return lines(rows)


def _settings(config: LoopConfig, varied: Sequence[str]) -> dict[str, Any]:
    known = {item.name: getattr(config.train, item.name) for item in fields(config.train)}
    return {name: known[name] for name in dict.fromkeys((*_ALWAYS_SHOWN, *varied))}


def _train(
    config: LoopConfig, run: RunFolder, screen: Screen, settings: dict[str, Any], lost: list[TrainingLostError]
) -> Row:
    name = run.path.name
    if run.finished(TRAIN.folder) is None:
        try:
            run_stage(config, run, screen, TRAIN)
        except TrainingError as error:
            if isinstance(error, TrainingLostError):
                lost.append(error)
            screen.say(f"train     failed: {error}")
            return Row(settings, name, status=error.message)
    write_summary(run)
    write_report(run)
    return row(settings, config.train.beta, name, run.finished(TRAIN.folder) or {})


def _write(folder: Path, rows: Sequence[Row]) -> None:
    write_json(folder / "table.json", [asdict(one) for one in rows])
    write_text(folder / "table.csv", as_csv(rows))
    write_text(folder / "table.html", as_page(rows, folder.resolve().parent.name))
