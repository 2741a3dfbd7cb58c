"""The stages in order: a finished one is skipped, a stopped one goes on where it was. This acts."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from raylign.config import LoopConfig
from raylign.run_folder import RunFolder, write_json
from raylign.screen import Screen
from raylign.session import ray_session
from raylign.summary import summarise


@dataclass(frozen=True)
class Stage:
    """One step of the loop."""

    name: str
    folder: str
    """Where in the run folder it writes; `done.json` in it says that it is whole."""
    module: str
    """Its `run(config, folder, screen)` returns the figures kept in `done.json`."""
    needs_ray: bool


PROMPTS = Stage("prompts", "prompts", "raylign.prompts.stage", needs_ray=False)
SAMPLE = Stage("sample", "drafts", "raylign.sample.stage", needs_ray=True)
REVISE = Stage("revise", "revisions", "raylign.revise.stage", needs_ray=True)
JUDGE = Stage("judge", "judgements", "raylign.judge.stage", needs_ray=True)
PAIRS = Stage("pairs", "pairs", "raylign.pairs.stage", needs_ray=False)
TRAIN = Stage("train", "train", "raylign.train.stage", needs_ray=True)
EVALUATE = Stage("evaluate", "evaluate", "raylign.evaluate.stage", needs_ray=True)

LOOP = (PROMPTS, SAMPLE, REVISE, JUDGE, PAIRS, TRAIN, EVALUATE)
MAKE_PAIRS = (PROMPTS, SAMPLE, REVISE, JUDGE, PAIRS)
_OVERLAP = "raylign.overlap.stage"
"""In the place of the sample stage's module where it and the revise stage overlap."""
_NOT_OF_SOURCE = {
    "clair": {JUDGE},
    "stronger": {JUDGE},
    "judge": {REVISE},
    "offpolicy": {SAMPLE, REVISE, JUDGE},
}


def needed(config: LoopConfig, stages: Sequence[Stage]) -> list[Stage]:
    """Those of the stages that the configured source of pairs has."""
    return [stage for stage in stages if stage not in _NOT_OF_SOURCE[config.pairs.source]]


def overlapped(config: LoopConfig, waiting: Sequence[Stage]) -> bool:
    """Whether sampling and revising run as one.

    Args:
        waiting: The stages that are to run still.
    """
    revise, both = config.revise, {SAMPLE, REVISE} <= set(needed(config, waiting))
    return both and revise.overlap and revise.base_url is not None and revise.mode == "online"


def run_stages(config: LoopConfig, folder: RunFolder, screen: Screen, stages: Sequence[Stage]) -> dict[str, Any]:
    """Run the stages that are not finished yet, in order; returns and writes the summary of the whole folder."""
    with ExitStack() as resources:
        ray_is_up = False
        overlap = overlapped(config, [stage for stage in stages if folder.finished(stage.folder) is None])
        for stage in needed(config, stages):
            if done := folder.finished(stage.folder):
                screen.say(f"{stage.name:<9} finished before ({done['seconds']:.0f} s), skipped")
                continue
            if stage.needs_ray and not ray_is_up:
                with screen.stage("ray") as progress:
                    progress.update(0, 1, "starting a private cluster, or connecting to the one named")
                    resources.enter_context(ray_session(config.cluster, folder.path / "logs"))
                ray_is_up = True
            run_stage(config, folder, screen, stage, _OVERLAP if overlap and stage is SAMPLE else stage.module)
    return write_summary(folder)


def write_summary(folder: RunFolder) -> dict[str, Any]:
    """Write `summary.json` from the stages that are finished in this folder, and return it."""
    suites = (folder.read_json("evaluate/suites.json") or {}).get("suites")
    summary = summarise({stage.name: done for stage in LOOP if (done := folder.finished(stage.folder))}, suites)
    write_json(folder.path / "summary.json", summary)
    return summary


def run_stage(config: LoopConfig, folder: RunFolder, screen: Screen, stage: Stage, module: str | None = None) -> None:
    """Run one stage, or `module` in its place, in the Ray session at hand if it needs one, and mark it whole."""
    screen.say(f"{stage.name:<9} started")
    started = time.monotonic()
    figures = import_module(module or stage.module).run(config, folder, screen)
    seconds = time.monotonic() - started
    folder.finish(stage.folder, figures, seconds)
    folder.log_metrics(stage.name, event="finished", seconds=round(seconds, 1))
    counts = ", ".join(f"{name} {value}" for name, value in figures.items() if isinstance(value, int | str))
    screen.say(f"{stage.name:<9} done in {seconds:.0f} s: {counts}")
