"""What a sweep costs beside its training: the objectives in one sweep, against a run of each by itself.

A random two-layer model and pairs of simple sentences. By itself a run makes its own reference pass, on a copy of the
pairs that no other run has seen; what is left of its time is its training. The sweep may take as long as all that
training and one reference pass. Ray is up before either begins.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import at_most, finish, local_ray, options
from random_model import random_llama
from records import make_pair, user

from raylign.config import load_config
from raylign.loop import TRAIN, run_stage
from raylign.parts import PartWriter
from raylign.records import Pair
from raylign.run_folder import RunFolder
from raylign.screen import Screen
from raylign.sweep.grid import grid
from raylign.sweep.stage import point_configs, sweep

OVER = "train.objective=apo_zero,apo_down,dpo,ipo"
WORDS = ["river", "stone", "lamp", "garden", "winter", "bread", "clock", "window", "paper", "music", "cloud"]


def write_pairs(folder: Path, count: int) -> Path:
    """So many pairs to train on, and a sixteenth of them held out."""
    for split, number in (("train", count), ("heldout", count // 16)):
        with PartWriter(folder / split, Pair) as writer:
            writer.add([_pair(split, at) for at in range(number)])
    return folder


def _pair(split: str, at: int) -> Pair:
    word, other = WORDS[at % len(WORDS)], WORDS[(at // len(WORDS)) % len(WORDS)]
    chosen, rejected = f"A {word} is short. " * (1 + at % 5), f"Well, the {word}, and the {other}. " * (2 + at % 7)
    asked = user(f"Tell me about the {word} and the {other}, number {at}.")
    return make_pair(chosen, rejected, id=f"{split}-{at}", prompt=asked, split=split)


def alone(overrides: list[str], pairs: Path, place: Path) -> list[dict[str, float]]:
    """Seconds of each objective's run by itself, and of the reference pass in it."""
    found = []
    for number, point in enumerate(grid([OVER])):
        own = write_pairs(place / f"pairs-{number}", _count(pairs))
        config = load_config(None, [*overrides, *point.overrides, f"train.pairs={own}"])
        folder = RunFolder.open(place / f"run-{number}", config, ["benchmark"])
        run_stage(config, folder, Screen(), TRAIN)
        folder.close()
        done = folder.finished(TRAIN.folder) or {}
        found.append({"seconds": done["seconds"], "reference_seconds": done["reference_seconds"]})
    return found


def _count(pairs: Path) -> int:
    from raylign.parts import read_parts

    return len(read_parts(pairs / "train", Pair, ["id"]))


def together(overrides: list[str], pairs: Path, place: Path) -> dict[str, Any]:
    """Seconds of the sweep, and how many of its points made a reference pass."""
    points = grid([OVER])
    configs = point_configs(None, overrides, points, pairs, place)
    folder = RunFolder(place)
    folder.stage("logs")
    started = time.perf_counter()
    shown = sweep(points, configs, folder, Screen())
    seconds = time.perf_counter() - started
    passes = sum(row["reference"] == "computed" for row in folder.read_json("table.json"))
    return {"seconds": seconds, "passes": passes, "table": shown}


def add_rounds(parser: argparse.ArgumentParser) -> None:
    """How often both are measured."""
    parser.add_argument("--rounds", type=int, default=3, help="of some thirteen minutes each (default: 3)")


def main() -> None:
    """One round quickly; otherwise as many as asked for. They go first by turns."""
    arguments = options(__doc__, add_rounds)
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as name, local_ray():
        place = Path(name)
        random_llama(place / "model")
        overrides = [f"model={place / 'model'}", "train.dtype=fp32", "train.learning_rate=1e-3"]
        for number in range(1 if arguments.quick else arguments.rounds):
            pairs = write_pairs(place / str(number) / "pairs", 64 if arguments.quick else 1024)
            works = [
                ("alone", lambda pairs=pairs: alone(overrides, pairs, pairs.parent)),
                ("together", lambda pairs=pairs: together(overrides, pairs, pairs.parent / "sweep")),
            ]
            measured = {key: work() for key, work in works[:: -1 if number % 2 else 1]}
            rounds.append(measured)
    ratios = [_ratio(measured) for measured in rounds]
    passes = max(measured["together"]["passes"] for measured in rounds)
    print("\n".join(rounds[-1]["together"]["table"]))
    finish(
        arguments,
        [
            at_most("reference passes of a sweep", passes, 1),
            at_most(
                "seconds of a sweep over those of its training and one reference pass", statistics.median(ratios), 1.05
            ),
        ],
        {"rounds": rounds, "ratios": ratios},
    )


def _ratio(measured: dict[str, Any]) -> float:
    runs = measured["alone"]
    training = sum(run["seconds"] - run["reference_seconds"] for run in runs)
    return float(
        measured["together"]["seconds"] / (training + statistics.median(run["reference_seconds"] for run in runs))
    )


if __name__ == "__main__":
    main()
