"""Where raylign's training speed comes from: a line for each ingredient, the operators, and the memory of logits."""

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

from bench import Part, at_most
from peers import as_rows, side

from raylign.train.tokens import TokenPair

LADDER = [
    ("padded, logits everywhere, reference in every step", "padded", "everywhere", "resident"),
    ("+ reference cached", "padded", "everywhere", "plain"),
    ("+ logits of answers alone", "padded", "answers", "plain"),
    ("+ packed", "packed", "answers", "plain"),
    ("+ shared in a pair", "pair", "answers", "plain"),
    ("+ whatever else begins alike", "raylign", "answers", "plain"),
    ("+ segments of one size attended together", "raylign", "answers", "grouped"),
    ("+ lean norms and gated layers", "raylign", "answers", "whole"),
    ("+ logits in chunks: raylign's step", "raylign", "chunked", "whole"),
]
"""Name, layout, way to the logits, and which of SIDES."""
SIDES: dict[str, dict[str, Any]] = {
    "resident": {"cached": False, "lean": False, "grouped": False},
    "plain": {"lean": False, "grouped": False},
    "grouped": {"lean": False},
    "whole": {},
}
"""What each side leaves out of raylign's step."""
BATCH = 8
MATRIX_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "mkldnn_linear", "mkldnn::")
LENGTHS = (512, 1024, 2048, 4096, 8192)


def ablation(settings: dict[str, Any], pairs: Sequence[TokenPair], repetitions: int) -> Part:
    """Pairs a second of each rung on the same batch, the rungs taking turns; the first turn only warms up."""
    settings = settings | {"rows": as_rows(pairs[:BATCH])}
    seconds: dict[str, list[float]] = {name: [] for name, *_ in LADDER}
    whole = [list(range(BATCH))]
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(side("raylign_side.py", **settings | without)) for name, without in SIDES.items()
        }
        for made in sides.values():
            made.ask("reference", batches=whole)
        for _ in range(repetitions + 1):
            for name, layout, logits, which in LADDER:
                sides[which].ask("arrange", layout=layout, logits=logits)
                seconds[name].append(sides[which].ask("steps", batches=whole)["seconds"])
    speeds = {name: BATCH / median(found[1:]) for name, found in seconds.items()}
    slowest = next(iter(speeds.values()))
    for name, speed in speeds.items():
        print(f"  {name:<52}  {speed:>7.3f} pairs/s  {speed / slowest:>5.2f} ×")
    return [], {"ablation": speeds}


def profile(settings: dict[str, Any], pairs: Sequence[TokenPair], repetitions: int = 5) -> Part:
    """One step by operator, and the share of the machine's GEMM peak that the step's model FLOPs make."""
    whole = [list(range(BATCH))]
    with side("raylign_side.py", **settings | {"rows": as_rows(pairs[:BATCH])}) as made:
        made.ask("reference", batches=whole)
        took = [made.ask("steps", batches=whole)["seconds"] for _ in range(repetitions + 1)][1:]
        needed = made.ask("flops", batches=whole)
        operators = made.ask("profile", batches=whole)["operators"]
    total = sum(seconds for _, seconds, _ in operators)
    products = sum(seconds for name, seconds, _ in operators if name.startswith(MATRIX_PRODUCTS))
    utilisation = needed["flops"][0] / median(took) / needed["peak"]
    print(f"a step of {BATCH} pairs, {needed['tokens'][0]} tokens: {median(took):.2f} s")
    for name, seconds, calls in operators[:15]:
        print(f"  {name:<44}  {seconds / total:>6.1%}  {calls:>6} calls")
    print(f"  matrix products: {products / total:.1%}")
    print(f"model FLOPs utilisation: {utilisation:.1%} of {needed['peak'] / 1e9:.0f} GFLOP/s, {settings['dtype']}")
    return [], {
        "operators": operators[:40],
        "matrix_products_share": products / total,
        "model_flops_utilisation": utilisation,
        "gemm_peak_flops": needed["peak"],
    }


def logits_memory(settings: dict[str, Any]) -> Part:
    """Peak memory of log-probabilities by the number of answer tokens, each length in a fresh process."""
    peaks = {}
    for tokens in LENGTHS:
        with side("raylign_side.py", **settings | {"rows": []}) as made:
            peaks[tokens] = made.ask("logits", tokens=tokens)["bytes"]
        print(f"  {tokens:>5} answer tokens: {peaks[tokens] / 2**20:>6.0f} MiB  {'#' * round(peaks[tokens] / 2**23)}")
    growth = peaks[LENGTHS[-1]] / peaks[LENGTHS[0]]
    return [at_most("peak logits memory, 8192 tokens over 512", growth, 1.25)], {"logits_peak_bytes": peaks}
