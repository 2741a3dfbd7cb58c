"""What Ray Train and DeepSpeed's engine cost: the steps of `raylign train` beside the bare step, on the same pairs.

And what of it Ray's other processes cost: steps during most of which all but the training worker stand still.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from ablation import BATCH
from bench import ROOT, Part, at_least
from peers import TYPES, as_rows, side, tokenise

from raylign.config import LoopConfig
from raylign.parts import PartWriter
from raylign.records import Pair
from raylign.train.order import Plan
from raylign.train.tokens import TokenPair

STEPS = 8
"""Optimizer steps of an epoch."""
TURN = 2
"""Steps that either side takes before it is the other's turn. In the first one Ray may have to catch up with what it
could not do while it stood still, so the last one alone is counted."""
WARM = 2
"""The first ones, which are not counted: in a new process both take up to twice as long."""
_WORKER = "ray::RayTrainWorker"
_LOOK_SECONDS = 0.1
_LONGEST_STEP_SECONDS = 300.0


@dataclass(frozen=True)
class Run:
    """`raylign train` under way, in a process of its own with a private cluster below it."""

    process: psutil.Popen
    folder: Path

    @property
    def metrics(self) -> Path:
        """Where the run writes a line for each step."""
        return self.folder / "metrics.jsonl"

    def lines(self) -> list[dict[str, Any]]:
        """The metrics of each optimizer step so far."""
        written = self.metrics.read_text(encoding="utf-8") if self.metrics.exists() else ""
        return [line for line in map(json.loads, written.splitlines()) if "pairs_per_second" in line]

    def wait_for(self, steps: int) -> None:
        """Wait until so many steps are done."""
        deadline = time.monotonic() + _LONGEST_STEP_SECONDS
        read, done = 0, 0
        while done < steps:
            # Reading takes time from the step, and the bare step has no such company: only what is new is read.
            if (written := self._written()) != read:
                read, done = written, len(self.lines())
            elif self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the run ended or stands still after {done} steps of {steps}")
            else:
                time.sleep(_LOOK_SECONDS)

    def worker(self) -> psutil.Process:
        """The training worker."""
        return next(process for process in self._below() if _WORKER in _command(process))

    def others(self) -> list[psutil.Process]:
        """Ray's processes but the training worker."""
        commands = ((process, _command(process)) for process in self._below())
        return [process for process, said in commands if ("ray::" in said or "/ray/" in said) and _WORKER not in said]

    def _written(self) -> int:
        return self.metrics.stat().st_size if self.metrics.exists() else 0

    def _below(self) -> list[psutil.Process]:
        found: list[psutil.Process] = self.process.children(recursive=True)
        return found


def share_of_bare(settings: dict[str, Any], pairs: Sequence[Pair], tokenizer: Any, epochs: int) -> Part:
    """Speed of a step of `raylign train` on one worker as a share of the bare step's, the two taking turns.

    After every second step the run and all of Ray below it stand still while the bare step takes two batches, the one
    that the run has just begun and the next. So neighbours in time are compared: this machine's speed changes by a
    third within minutes.
    """
    usable = [pair for pair in pairs if tokenise([pair], tokenizer)][: STEPS * BATCH]
    tokens = tokenise(usable, tokenizer)
    plan = Plan(len(tokens), BATCH, epochs, LoopConfig().seed)
    batches = [plan.batch(step) for step in range(plan.steps)]
    with side("raylign_side.py", **settings | {"rows": as_rows(tokens)}) as bare:
        bare.ask("reference", batches=batches[:STEPS])
        bare.ask("steps", batches=batches[:WARM])
        with training(usable, tokens, settings, epochs) as run:
            alone, through = by_turns(run, batches, lambda batch: float(bare.ask("steps", batches=[batch])["seconds"]))
            peak = run.lines()[-1]["peak_memory_gib"]
    shares = {step: alone[step] / through[step] for step in range(max(WARM, TURN), len(through))}
    counted = [share for step, share in shares.items() if step % TURN == TURN - 1]
    print(f"peak memory of the training worker: {peak:.2f} GiB")
    print(
        f"all steps, those with which Ray catches up among them: {median(shares.values()):.3f} of the bare step's speed"
    )
    return [at_least("through Ray Train and DeepSpeed: speed, share of the bare step", median(counted), 0.95)], {
        "share_of_bare": counted,
        "share_of_bare_with_catching_up": list(shares.values()),
        "step_seconds": {"bare": alone, "through_ray": through},
        "worker_peak_memory_gib": peak,
    }


def by_turns(
    run: Run, batches: Sequence[list[int]], bare_step: Callable[[list[int]], float]
) -> tuple[list[float], list[float]]:
    """Seconds of the bare step and of the run's step on each batch; the first turn is the run's alone."""
    alone, still = [0.0] * TURN, [0.0] * len(batches)
    for first in range(TURN, len(batches), TURN):
        run.wait_for(first)
        with standing_still([run.worker(), *run.others(), run.process]) as stood:
            alone += [bare_step(batch) for batch in batches[first : first + TURN]]
        still[first] = stood()
    run.wait_for(len(batches))
    return alone, [line["seconds"] - stood for line, stood in zip(run.lines(), still, strict=True)]


@contextmanager
def standing_still(processes: Sequence[psutil.Process]) -> Iterator[Callable[[], float]]:
    """Stop these processes for the length of a block; gives a function for the seconds that the first one stood."""
    started = time.perf_counter()
    stood = 0.0
    for process in processes:
        process.suspend()
    try:
        yield lambda: stood
    finally:
        for process in reversed(processes):
            process.resume()
        stood = time.perf_counter() - started


def while_ray_rests(settings: dict[str, Any], pairs: Sequence[Pair], tokenizer: Any, epochs: int) -> Part:
    """Seconds of steps in which Ray's other processes stand still, as a share of those of the steps before them.

    They stand still for a fixed time in the middle of every second step, as a worker that waits for one of them at the
    end of a step would wait for ever.
    """
    usable = [pair for pair in pairs if tokenise([pair], tokenizer)][: STEPS * BATCH]
    tokens = tokenise(usable, tokenizer)
    with training(usable, tokens, settings, epochs) as run:
        run.wait_for(WARM + 2)
        rest = 0.6 * median(line["seconds"] for line in run.lines()[WARM:])
        for step in range(WARM + 3, epochs * STEPS, 2):
            run.wait_for(step)
            time.sleep(0.5)  # into the step
            with standing_still(run.others()):
                time.sleep(rest)
        run.wait_for(epochs * STEPS)
        seconds = [line["seconds"] for line in run.lines()]
    shares = [seconds[at] / seconds[at - 1] for at in range(WARM + 3, len(seconds), 2)]
    print(f"steps with Ray at rest for {rest:.1f} s, share of their neighbours' time: {median(shares):.3f}")
    return [], {"rest_seconds": rest, "step_seconds": seconds, "share_of_neighbours": shares}


@contextmanager
def training(
    pairs: Sequence[Pair], tokens: Sequence[TokenPair], settings: dict[str, Any], epochs: int
) -> Iterator[Run]:
    """`raylign train` on these pairs with this benchmark's settings; waited for at the end."""
    with tempfile.TemporaryDirectory(prefix="through-ray-") as made:
        for split, rows in (("train", pairs), ("heldout", pairs[:1])):
            with PartWriter(Path(made) / "pairs" / split, Pair) as writer:
                writer.add([replace(pair, id=f"{split} {pair.id}", split=split) for pair in rows])
        given = {
            "epochs": epochs,
            "batch_size": BATCH,
            "micro_batch_size": BATCH,
            "log_every": 1,
            "objective": settings["objective"],
            "dtype": TYPES[settings["dtype"]],
            "max_length": max(pair.length for pair in tokens),
            "checkpoint_every": epochs * STEPS,
            "evaluate_every": epochs * STEPS,
        }
        command = ["train", "--out", made, *(f"train.{name}={value}" for name, value in given.items())]
        start = "import sys; from raylign.cli import main; sys.exit(main(sys.argv[1:]))"
        process = psutil.Popen([sys.executable, "-c", start, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            yield Run(process, Path(made))
            if status := process.wait():
                sys.exit(f"raylign {' '.join(command)} ended with {status}")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""
