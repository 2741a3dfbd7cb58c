"""What Ray Train and DeepSpeed's engine cost: the training stage itself beside the bare step, on the same pairs.

And what of it Ray's other processes cost: steps during most of which all but the training worker stand still.
"""

import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from ablation import BATCH
from bench import Part, at_least, local_ray
from peers import TYPES, as_rows, side, tokenise

from raylign.config import LoopConfig
from raylign.parts import PartWriter
from raylign.records import Pair
from raylign.run_folder import RunFolder
from raylign.screen import Screen
from raylign.train.order import Plan
from raylign.train.tokens import TokenPair

STEPS = 8
"""Optimizer steps of a run."""
WARM = 2
"""The first ones, which are not counted: in a new process both take up to twice as long, and the bare step's process is
not a new one."""


def share_of_bare(settings: dict[str, Any], pairs: Sequence[Pair], tokenizer: Any, rounds: int) -> Part:
    """Speed of `raylign train` on one worker as a share of the bare step's, the two taking turns."""
    usable = [pair for pair in pairs if tokenise([pair], tokenizer)][: STEPS * BATCH]
    tokens = tokenise(usable, tokenizer)
    plan = Plan(len(tokens), BATCH, 1, LoopConfig().seed)
    batches = [plan.batch(step) for step in range(plan.steps)]
    shares, seconds = [], []
    with local_ray(), side("raylign_side.py", **settings | {"rows": as_rows(tokens)}) as bare:
        bare.ask("reference", batches=batches)
        for _ in range(rounds):
            alone = [bare.ask("steps", batches=[batch])["seconds"] for batch in batches]
            lines = _stage_lines(usable, tokens, settings)
            through = [line["seconds"] for line in lines]
            seconds.append({"bare": alone, "through_ray": through})
            shares.append(sum(alone[WARM:]) / sum(through[WARM:]))
    peak = max(line["peak_memory_gib"] for line in lines)
    print(f"peak memory of the training worker: {peak:.2f} GiB")
    return [at_least("through Ray Train and DeepSpeed: speed, share of the bare step", median(shares), 0.95)], {
        "share_of_bare": shares,
        "step_seconds": seconds,
        "worker_peak_memory_gib": peak,
    }


def while_ray_rests(settings: dict[str, Any], pairs: Sequence[Pair], tokenizer: Any, epochs: int) -> Part:
    """Seconds of steps in which Ray's other processes stand still, as a share of those of the steps before them.

    They stand still for a fixed time in the middle of every second step, as a worker that waits for one of them at the
    end of a step would wait for ever.
    """
    usable = [pair for pair in pairs if tokenise([pair], tokenizer)][: STEPS * BATCH]
    tokens = tokenise(usable, tokenizer)
    with local_ray():
        typical = median(line["seconds"] for line in _stage_lines(usable, tokens, settings)[WARM:])
        lines = _stage_lines(usable, tokens, settings, epochs, rest_seconds=0.6 * typical)
    seconds = [line["seconds"] for line in lines]
    shares = [seconds[at + 1] / seconds[at] for at in range(WARM, len(seconds) - 1, 2)]
    print(f"steps with Ray at rest for {0.6 * typical:.1f} s, share of their neighbours' time: {median(shares):.3f}")
    return [], {"rest_seconds": 0.6 * typical, "step_seconds": seconds, "share_of_neighbours": shares}


@contextmanager
def _resting(metrics: Path, seconds: float) -> Iterator[None]:
    """Stop Ray's processes but the training worker for so long in every second step that `metrics` tells of."""
    over = threading.Event()

    def stop_and_go() -> None:
        seen = 0
        while not over.wait(0.05):
            done = metrics.read_text(encoding="utf-8").count('"pairs_per_second"') if metrics.exists() else 0
            if done == seen:
                continue
            seen = done
            if done >= 3 and done % 2:
                time.sleep(0.5)  # into the step
                stopped = _others()
                for process in stopped:
                    process.suspend()
                over.wait(seconds)
                for process in stopped:
                    process.resume()

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _others() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if any(word.startswith("ray::") or "/ray/" in word for word in process.cmdline())
        and "RayTrainWorker" not in " ".join(process.cmdline())
    ]


def _stage_lines(
    pairs: Sequence[Pair],
    tokens: Sequence[TokenPair],
    settings: dict[str, Any],
    epochs: int = 1,
    rest_seconds: float = 0.0,
) -> list[dict[str, Any]]:
    """The metrics of each optimizer step of a training run of its own."""
    from raylign.train.stage import run

    config = LoopConfig()
    train = config.train
    train.epochs = epochs
    train.batch_size = train.micro_batch_size = BATCH
    train.log_every, train.objective = 1, settings["objective"]
    train.dtype = TYPES[settings["dtype"]]
    train.max_length = max(pair.length for pair in tokens)
    with tempfile.TemporaryDirectory(prefix="through-ray-") as made:
        for split, rows in (("train", pairs), ("heldout", pairs[:1])):
            with PartWriter(Path(made) / "pairs" / split, Pair) as writer:
                writer.add([replace(pair, split=split) for pair in rows])
        folder = RunFolder.open(Path(made), config, ["benchmark"])
        try:
            with _resting(Path(made) / "metrics.jsonl", rest_seconds) if rest_seconds else nullcontext():
                run(config, folder, Screen())
        finally:
            folder.close()
        lines = [json.loads(line) for line in (Path(made) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "pairs_per_second" in line]
