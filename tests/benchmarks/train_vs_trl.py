"""How fast raylign trains against TRL, on one machine: pairs a second, memory, and where both come from.

SmolLM2-135M in bf16 with fp32 master weights on both sides, or with `--dtype fp32` in fp32: same weights, token ids,
AdamW settings, threads, clipping. On a CPU that is faster in fp32, raylign multiplies its bf16 weights in that, as it
does for its users; the JSON says so.
Each side is a process that works only while the other idles; rounds alternate, a figure is the median of their ratios.
A round is the same pairs for all: TRL's best gets them in batches cut from the whole data set sorted by length, the
others shuffled. Pairs a second count real pairs over an epoch: the steps, the optimizer in them, and the reference pass
once.

`default`: DPOTrainer as it comes. `best`: precompute_ref_log_probs, no gradient checkpointing, sorted by length.
`raylign`: the bare step; a line of its own says what Ray Train and DeepSpeed's engine add.
Beside each ratio stands that of the operations which both sides' batches ask for: what is beyond it comes from how fast
they are done.

    python tests/benchmarks/train_vs_trl.py [--quick] [--pairs RUN] [--part NAME …] [--dtype fp32] [--out FILE.json]

`--pairs` takes the CLAIR pairs of a run folder, such as the quickstart's; `--part` measures a part alone, where the
whole takes an hour. TRL comes from `make bench-peers`.
"""

import argparse
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ablation import ablation, logits_memory, profile
from bench import Part, add_part, at_least, at_most, finish, measure_parts, options
from bf16_products import made_here
from imbalance import token_imbalance
from peers import (
    as_rows,
    batches_of,
    clair_pairs,
    davinci_pairs,
    longest_first,
    side,
    threads,
    tokenise,
    unshareable_pairs,
)
from through_ray import share_of_bare, while_ray_rests
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from raylign.arithmetic import fast_products
from raylign.model import resolve_model
from raylign.records import Pair
from raylign.train.flops import ModelSize, Work, model_size, training_flops, work_of
from raylign.train.packing import pack
from raylign.train.tokens import TokenPair

Round = list[list[TokenPair]]
LEARNING_RATE = 1e-6
BETA = 0.1
DEFAULT: dict[str, Any] = {}
BEST = {"precompute_ref_log_probs": True, "gradient_checkpointing": False}
ROUNDS = 5
RACES: dict[str, tuple[str, int, int, dict[str, float]]] = {
    "CLAIR": ("CLAIR", 8, 3, {"best": 3.0, "default": 4.2}),
    "davinci": ("davinci", 8, 3, {"best": 3.5}),
    "one CLAIR pair": ("CLAIR", 1, 6, {"best": 1.5}),
    "nothing to share": ("nothing to share", 4, 1, {"best": 1.0}),
}
"""Data set, pairs a batch, batches a round, and the bars: how many times as fast as each rival."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    batches: int
    """Batches a round."""


def cut_rounds(pairs: Sequence[TokenPair], batch_size: int, size: Size) -> list[Round]:
    """Rounds of batches drawn from the data set sorted by length, plus one batch to warm up with in front."""
    batches = batches_of(longest_first(pairs), batch_size)
    needed = size.rounds * size.batches + 1
    if len(batches) < needed:
        raise SystemExit(f"{len(pairs)} pairs are too few: {needed * batch_size} are needed in batches of {batch_size}")
    drawn = random.Random(0).sample(batches, needed)
    return [drawn[:1], *(drawn[at : at + size.batches] for at in range(1, needed, size.batches))]


def shuffled(rounds: Sequence[Round], batch_size: int) -> list[Round]:
    """The same pairs in each round, dealt into batches at random."""
    chance = random.Random(1)
    dealt = []
    for batches in rounds:
        pairs = [pair for batch in batches for pair in batch]
        dealt.append(batches_of(chance.sample(pairs, len(pairs)), batch_size))
    return dealt


@dataclass(frozen=True)
class Setting:
    """What all sides have in common."""

    model: str
    dtype: str
    """`bf16` or `fp32`."""

    def trl(self, rounds: Sequence[Round], batch_size: int, settings: dict[str, Any]) -> dict[str, Any]:
        """What a TRL side starts with; its bf16 is autocast over fp32 weights."""
        rows = as_rows([pair for batches in rounds for batch in batches for pair in batch])
        return {
            "model": self.model, "reference": None, "dtype": "float32", "learning_rate": LEARNING_RATE,
            "loss_type": "apo_zero", "beta": BETA, "batch_size": batch_size, "rows": rows,
            "settings": {"bf16": self.dtype == "bf16", **settings},
        }  # fmt: skip

    def ours(self, pairs: Sequence[TokenPair], **changes: Any) -> dict[str, Any]:
        """What raylign's side starts with."""
        return {
            "model": self.model, "reference": None, "dtype": {"bf16": "bfloat16", "fp32": "float32"}[self.dtype],
            "learning_rate": LEARNING_RATE, "objective": "apo_zero", "beta": BETA, "layout": "raylign",
            "logits": "chunked", "cached": True, "lean": True, "grouped": True, "activation_checkpointing": False,
            "rows": as_rows(pairs),
        } | changes  # fmt: skip


def operations(size: ModelSize, batches: Round, padded: bool) -> float:
    """Floating-point operations of training steps, as raylign lays the batches out, or padded as TRL does."""
    works = [_padded_work(batch) if padded else work_of(pack(batch, "shared")) for batch in batches]
    return sum(training_flops(size, work) for work in works)


def _padded_work(batch: Sequence[TokenPair]) -> Work:
    rows, longest = 2 * len(batch), max(pair.length for pair in batch)
    return Work(rows * longest, rows * longest, rows * longest * (longest + 1) // 2)


def size_of(model: str) -> ModelSize:
    """A model's size from its configuration alone."""
    with torch.device("meta"):
        return model_size(AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model)))


def asked_of_rivals(
    setting: Setting, sorted_rounds: Sequence[Round], dealt: Sequence[Round], rivals: Sequence[str]
) -> dict[str, float]:
    """Each rival's operations in the rounds that count, times raylign's."""
    size = size_of(setting.model)
    ours = sum(operations(size, batches, padded=False) for batches in dealt[1:])
    theirs = {"best": sorted_rounds, "default": dealt}
    return {
        rival: sum(operations(size, batches, padded=True) for batches in theirs[rival][1:]) / ours for rival in rivals
    }


def indices(rounds: Sequence[Round]) -> list[list[list[int]]]:
    """Rounds as indices into their pairs listed one after another."""
    at, found = 0, []
    for batches in rounds:
        found.append([])
        for batch in batches:
            found[-1].append(list(range(at, at + len(batch))))
            at += len(batch)
    return found


def race(
    setting: Setting, name: str, pairs: Sequence[TokenPair], batch_size: int, size: Size, rivals: Sequence[str]
) -> dict[str, Any]:
    """Median pairs a second of each side over the rounds, and the median of raylign's ratio to each rival."""
    sorted_rounds = cut_rounds(pairs, batch_size, size)
    dealt = shuffled(sorted_rounds, batch_size)
    ours_at = indices(dealt)
    seconds: dict[str, list[float]] = {"raylign": [], **{rival: [] for rival in rivals}}
    reference: dict[str, float] = dict.fromkeys(seconds, 0.0)
    with ExitStack() as stack:
        everything = [pair for batches in dealt for batch in batches for pair in batch]
        ours = stack.enter_context(side("raylign_side.py", **setting.ours(everything)))
        theirs = {}
        for rival in rivals:
            rounds, settings = (sorted_rounds, BEST) if rival == "best" else (dealt, DEFAULT)
            made = stack.enter_context(side("trl_side.py", **setting.trl(rounds, batch_size, settings)))
            reference[rival] = made.started["reference_seconds"] / len(everything)
            made.ask("steps", steps=1)
            theirs[rival] = made
        ours.ask("reference", batches=ours_at[0])
        reference["raylign"] = sum(ours.ask("reference", batches=at)["seconds"] for at in ours_at[1:]) / (
            len(everything) - batch_size
        )
        ours.ask("steps", batches=ours_at[0])
        for batches in ours_at[1:]:
            largest = max(batches, key=lambda batch: sum(everything[at].length for at in batch))
            ours.ask("steps", batches=[largest])  # asks for the memory again that it gave back for the others' turns
            seconds["raylign"].append(ours.ask("steps", batches=batches)["seconds"])
            ours.ask("rest")
            for rival, made in theirs.items():
                seconds[rival].append(made.ask("steps", steps=len(batches))["seconds"])
    count = size.batches * batch_size
    rates = {made: [1 / (took / count + reference[made]) for took in found] for made, found in seconds.items()}
    for made, found in rates.items():
        print(
            f"{name}, {batch_size} a batch, {made}: {median(found):.3f} pairs/s "
            f"({median(seconds[made]) / count:.3f} s a pair in steps, {reference[made]:.3f} s in the reference pass)"
        )
    ratios = {
        rival: median(mine / other for mine, other in zip(rates["raylign"], rates[rival], strict=True))
        for rival in rivals
    }
    asked = asked_of_rivals(setting, sorted_rounds, dealt, rivals)
    for rival in rivals:
        print(f"{name}, {batch_size} a batch: TRL's {rival} asks for {asked[rival]:.2f} times the operations")
    return {
        "pairs_per_second": rates,
        "reference_seconds_a_pair": reference,
        "ratios": ratios,
        "operations": asked,
    }


def speed(setting: Setting, sets: dict[str, list[TokenPair]], name: str, quick: bool) -> Part:
    """One race and its bars."""
    kind, batch_size, batches, bars = RACES[name]
    if not sets[kind]:
        print(f"{name}: no data, so not measured")
        return [], {}
    size = Size(1, 1) if quick else Size(ROUNDS, batches)
    found = race(setting, name, sets[kind], batch_size, size, list(bars))
    return [
        at_least(f"{name}, {batch_size} a batch: speed, times TRL's {rival}", found["ratios"][rival], bar)
        for rival, bar in bars.items()
    ], {name: found}


def memory(setting: Setting, pairs: Sequence[TokenPair]) -> Part:
    """Most memory that each side ever holds, each in a fresh process, over the same three batches of 8.

    In bf16 on both sides, on every processor: see `bf16_products`.
    """
    rounds = cut_rounds(pairs, 8, Size(1, 2))
    batches = [batch for batches in indices(rounds) for batch in batches]
    peaks = {}
    products = {"products": "bf16", "bf16_anywhere": True} if setting.dtype == "bf16" else {}
    everything = [pair for part in rounds for batch in part for pair in batch]
    for name, changes in (("raylign", {}), ("raylign, activation checkpointing", {"activation_checkpointing": True})):
        with side("raylign_side.py", **setting.ours(everything, **products, **changes)) as made:
            made.ask("reference", batches=batches)
            made.ask("steps", batches=batches)
            peaks[name] = made.peak_bytes
    for rival, settings in (("best", BEST), ("default", DEFAULT)):
        with side("trl_side.py", **setting.trl(rounds, 8, settings), **products) as made:
            made.ask("steps", steps=len(batches))
            peaks[rival] = made.peak_bytes
    for name, found in peaks.items():
        print(f"peak memory of {name}: {found / 2**30:.2f} GiB")
    return [
        at_most("peak memory, share of TRL's default", peaks["raylign"] / peaks["default"], 0.6),
        at_most(
            "the same with activation checkpointing, as TRL's default has it",
            peaks["raylign, activation checkpointing"] / peaks["default"],
            0.6,
        ),
        at_most("peak memory, share of TRL's best", peaks["raylign"] / peaks["best"], 0.8),
    ], {"peak_bytes": peaks, "bf16 products made in fp32": bool(products) and made_here()}


def parts(
    setting: Setting, sets: dict[str, list[TokenPair]], clair: Sequence[Pair], tokenizer: Any, quick: bool
) -> dict[str, Callable[[], Part]]:
    """What can be measured, by name."""
    settings = setting.ours(sets["CLAIR"])
    return {
        **{name: partial(speed, setting, sets, name, quick) for name in RACES},
        "memory": lambda: memory(setting, sets["CLAIR"]),
        "ablation": lambda: ablation(settings, sets["CLAIR"], 1 if quick else 5),
        "profile": lambda: profile(settings, sets["CLAIR"]),
        "logits": lambda: logits_memory(settings),
        "imbalance": lambda: token_imbalance(
            {"CLAIR": sets["CLAIR"], "davinci": sets["davinci"]}, size_of(setting.model)
        ),
        "through Ray": lambda: share_of_bare(settings, clair, tokenizer, epochs=1 if quick else 4),
        "Ray at rest": lambda: while_ray_rests(settings, clair, tokenizer, epochs=1 if quick else 4),
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """What this benchmark takes beside the others' options."""
    parser.add_argument("--pairs", type=Path, help="a run folder whose CLAIR pairs are taken")
    parser.add_argument("--dtype", choices=("bf16", "fp32"), default="bf16", help="what both sides compute in")
    add_part(parser)


def main() -> None:
    """Speed, memory, ablation, profile, and the step through Ray Train."""
    arguments = options(__doc__, add_options)
    model = resolve_model("bundled")
    tokenizer = AutoTokenizer.from_pretrained(model)
    clair, where = clair_pairs(arguments.pairs)
    print(f"CLAIR pairs: {where}; {threads()} threads a side")
    sets = {
        "CLAIR": tokenise(clair, tokenizer),
        "davinci": tokenise(davinci_pairs(), tokenizer),
        "nothing to share": unshareable_pairs(4 * (ROUNDS + 1), tokenizer),
    }
    figures, details = measure_parts(
        arguments, parts(Setting(model, arguments.dtype), sets, clair, tokenizer, arguments.quick)
    )
    finish(
        arguments,
        figures,
        {"CLAIR pairs": where, "dtype": arguments.dtype, "products": fast_products(0), "threads": threads(), **details},
    )


if __name__ == "__main__":
    main()
