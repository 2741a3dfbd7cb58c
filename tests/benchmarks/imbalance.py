"""How evenly two workers are loaded: tokens as the trainer deals an epoch's batches, without training on them."""

from collections.abc import Sequence
from statistics import mean

from bench import Part, at_most

from raylign.config import LoopConfig
from raylign.train.flops import ModelSize, pair_costs, work_of
from raylign.train.order import Plan, share
from raylign.train.packing import pack
from raylign.train.tokens import TokenPair

WORKERS = 2
BATCH_SIZES = (8, 16, 32)


def token_imbalance(sets: dict[str, list[TokenPair]], size: ModelSize) -> Part:
    """How much more than the mean the busiest worker takes over an epoch, summed over its steps, by set and batch.

    A step's busiest worker is what the others wait for, so it is the sum of those that counts.
    """
    figures, details = [], {}
    for name, pairs in sets.items():
        for batch_size in BATCH_SIZES if pairs else ():
            loads = worker_loads(pairs, size, batch_size)
            found = sum(max(load) for load in loads) / sum(mean(load) for load in loads) - 1
            figures.append(at_most(f"{name}, {batch_size} a batch, 2 workers: token imbalance", found, 0.05))
            details[f"{name}, {batch_size} a batch"] = loads
    return figures, {"tokens_of_workers": details}


def worker_loads(pairs: Sequence[TokenPair], size: ModelSize, batch_size: int) -> list[list[int]]:
    """Tokens that each worker computes in each full step of one epoch, one micro-batch a worker."""
    costs = pair_costs(pairs, size, "shared")
    plan = Plan(len(pairs), batch_size, 1, LoopConfig().seed)
    return [
        [_tokens(pairs, batch, costs, rank) for rank in range(WORKERS)]
        for batch in map(plan.batch, range(len(pairs) // batch_size))
    ]


def _tokens(pairs: Sequence[TokenPair], batch: Sequence[int], costs: Sequence[float], rank: int) -> int:
    (mine,) = share(batch, costs, rank, WORKERS, 1)
    return work_of(pack([pairs[index] for index in mine], "shared")).tokens
