"""Training runs for tests and benchmarks: a few pairs, the stage on them, what it wrote, and who kills workers."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from records import make_pair, user
from safetensors.torch import load_file

from raylign.config import LoopConfig, load_config
from raylign.parts import PartWriter, part_paths
from raylign.records import Pair
from raylign.run_folder import RunFolder
from raylign.screen import Screen
from raylign.train.stage import run

# Ray Train hears of a checkpoint when it looks at its workers, every 2 s by default: long for steps of milliseconds.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")

EPOCHS = 40
STEPS = 3 * EPOCHS
"""Of 10 pairs in batches of 4, 4 and 2."""
WORDS = ["river", "stone", "lamp", "garden", "winter", "bread", "clock", "window", "paper", "music", "cloud"]
BASE = [
    "train.objective=apo_zero",
    "train.batch_size=4",
    "train.micro_batch_size=4",
    "train.learning_rate=1e-3",
    "train.warmup_share=0",
    "train.schedule=constant",
    "train.log_every=1",
    "train.cpus_per_worker=1",
    "train.dtype=fp32",
    f"train.epochs={EPOCHS}",
    "train.checkpoint_every=4",
]


def write_pairs(folder: Path, split: str, count: int, single: bool = False) -> None:
    """One file of pairs, where there is none yet or beside what is there.

    Args:
        single: Every other one's chosen answer alone, and the others' rejected one.
    """
    with PartWriter(folder / split, Pair) as writer:
        for index in range(count):
            word, other = WORDS[index % len(WORDS)], WORDS[(index + 5) % len(WORDS)]
            chosen, rejected = f"A {word} is short.", f"Well, the {word}, " + f"and the {other}, " * (1 + index % 4)
            asked = user(f"Tell me about the {word} and the {other}.")
            row = make_pair(chosen, rejected, id=f"{split}-{index}", prompt=asked, split=split)
            if single:
                row = replace(row, rejected=[]) if index % 2 else replace(row, chosen=[])
            writer.add([row])


def prepare(
    path: Path, model: Path, *overrides: str, pairs: int = 10, single: bool = False
) -> tuple[LoopConfig, RunFolder]:
    """A run folder with pairs in it, and its configuration."""
    config = load_config(overrides=[f"model={model}", *BASE, *overrides])
    for split, count in (("train", pairs), ("heldout", 3)):
        if not part_paths(path / "pairs" / split):
            write_pairs(path / "pairs", split, count, single)
    return config, RunFolder.open(path, config, ["test"])


def train(path: Path, model: Path, *overrides: str, pairs: int = 10, single: bool = False) -> dict[str, Any]:
    """The training stage on a folder that may hold a begun run; a Ray must be there."""
    config, folder = prepare(path, model, *overrides, pairs=pairs, single=single)
    try:
        return run(config, folder, Screen())
    finally:
        folder.close()


def metrics(path: Path) -> list[dict[str, Any]]:
    """What the run has logged so far, a line that is just being written apart."""
    file = path / "metrics.jsonl"
    whole = file.read_text().rpartition("\n")[0] if file.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def steps(path: Path) -> dict[int, dict[str, Any]]:
    """The line of every step, the newest where it was done again."""
    return {line["step"]: line for line in metrics(path) if "event" not in line}


def starts(path: Path) -> list[dict[str, Any]]:
    """The starts and restarts of a run: from which step, with which workers."""
    return [line for line in metrics(path) if line.get("event") == "start"]


def checkpoint_tensors(path: Path, step: int) -> dict[str, torch.Tensor]:
    """Everything a checkpoint of a run holds as tensors: masters and moments, by name."""
    found: dict[str, torch.Tensor] = {}
    for shard in (path / "train" / "ray" / f"step-{step:08d}").glob("*.safetensors"):
        found.update(load_file(shard))
    return found


class Killer:
    """Kills the run's first worker, by SIGKILL, at so many steps after each of its starts."""

    def __init__(self, path: Path, steps_after_start: list[int], saved: bool = False) -> None:
        """Args:
        saved: kill later where Ray Train does not know of a checkpoint of that start by then. It hears of one when it
            looks at its workers, and on a fast machine a tiny model takes many steps meanwhile.
        """
        self.path, self.plan, self.saved = path, steps_after_start, saved
        self.killed_at: list[int] = []
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.first = len(starts(path))
        self.thread.start()

    def _watch(self) -> None:
        for number, wanted in enumerate(self.plan, start=self.first):
            while len(begun := starts(self.path)) <= number:
                time.sleep(0.1)
            first = begun[number]["step"]
            while (done := self._done()) < first + wanted or (self.saved and self._known() <= first):
                time.sleep(0.002)
            os.kill(begun[number]["workers"][0]["pid"], signal.SIGKILL)
            self.killed_at.append(done)

    def _done(self) -> int:
        progress = json.loads((self.path / "train" / "progress.json").read_text())
        return int(progress["done"]) if progress["phase"] in ("steps", "checkpoint") else -1

    def _known(self) -> int:
        """The step of the newest checkpoint that Ray Train has noted for its next start."""
        try:
            noted = json.loads((self.path / "train" / "ray" / "checkpoint_manager_snapshot.json").read_text())
        except (OSError, ValueError):  # none yet, or it is just being written
            return 0
        newest = noted["latest_checkpoint_result"]
        return int(newest["checkpoint_dir_name"].removeprefix("step-")) if newest else 0
