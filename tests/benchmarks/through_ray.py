"""What Ray Train and DeepSpeed's engine cost: the training stage itself beside the bare step, on the same pairs."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

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

STEPS = 6
"""Optimizer steps of a run; the first one warms up and is not counted."""


def share_of_bare(settings: dict[str, Any], pairs: Sequence[Pair], tokenizer: Any, rounds: int) -> Part:
    """Speed of `raylign train` on one worker as a share of the bare step's, the two taking turns."""
    usable = [pair for pair in pairs if tokenise([pair], tokenizer)][: STEPS * BATCH]
    tokens = tokenise(usable, tokenizer)
    plan = Plan(len(tokens), BATCH, 1, LoopConfig().seed)
    batches = [plan.batch(step) for step in range(plan.steps)]
    shares = []
    with local_ray(), side("raylign_side.py", **settings | {"rows": as_rows(tokens)}) as bare:
        bare.ask("reference", batches=batches)
        for _ in range(rounds):
            alone = [bare.ask("steps", batches=[batch])["seconds"] for batch in batches]
            lines = _stage_lines(usable, tokens, settings)
            shares.append(sum(alone[1:]) / sum(line["seconds"] for line in lines[1:]))
    peak = max(line["peak_memory_gib"] for line in lines)
    print(f"peak memory of the training worker: {peak:.2f} GiB")
    return [at_least("through Ray Train and DeepSpeed: speed, share of the bare step", median(shares), 0.95)], {
        "share_of_bare": shares,
        "worker_peak_memory_gib": peak,
    }


def _stage_lines(pairs: Sequence[Pair], tokens: Sequence[TokenPair], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics of each optimizer step of a training run of its own."""
    from raylign.train.stage import run

    config = LoopConfig()
    train = config.train
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
            run(config, folder, Screen())
        finally:
            folder.close()
        lines = [json.loads(line) for line in (Path(made) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "pairs_per_second" in line]
