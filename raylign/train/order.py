"""Which pairs a step trains on and which worker takes which: from seed and epoch alone; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Plan:
    """The order of a whole training run over `pairs` pairs, the same for any number of workers."""

    pairs: int
    batch_size: int
    epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps an epoch; the last one takes what is left."""
        return math.ceil(self.pairs / self.batch_size)

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return self.steps_per_epoch * self.epochs

    def batch(self, step: int) -> list[int]:
        """Indices of the pairs of a step (counted from 0), at most `batch_size`; each pair comes once an epoch."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.pairs)
        start = position * self.batch_size
        return [int(index) for index in order[start : start + self.batch_size]]


def share(
    batch: Sequence[int],
    costs: Sequence[float],
    rank: int,
    workers: int,
    micro_batches: int,
    alike: bool = False,
) -> list[list[int]]:
    """A worker's part of a global batch, as the same number of micro-batches on every worker.

    The batch is dealt so that workers have about the same to do, and each worker's part likewise to its micro-batches,
    which come in order of cost: under ZeRO-2 and 3 workers wait for each other after every one. An incomplete batch
    leaves some micro-batches short or empty; an empty one still costs a pass, since workers reduce their gradients
    together.

    Args:
        batch: indices of pairs.
        costs: what each pair of the run costs, by index.
        micro_batches: how many each worker takes.
        alike: put pairs of about the same cost into one micro-batch, however unlike micro-batches then are. Where rows
            are padded to the longest of their micro-batch, that is a tenth to a third less to compute.
    """
    mine = [batch[at] for at in balanced([costs[index] for index in batch], workers)[rank]]
    if alike:
        mine.sort(key=lambda index: -costs[index])
        cuts = [len(mine) * at // micro_batches for at in range(micro_batches + 1)]
        return [mine[start:end] for start, end in pairwise(cuts)]
    parts = balanced([costs[index] for index in mine], micro_batches)
    dealt = [[mine[at] for at in part] for part in parts]
    return sorted(dealt, key=lambda part: -sum(costs[index] for index in part))


def balanced(costs: Sequence[float], parts: int) -> list[list[int]]:
    """Cut items into parts of about the same cost and of at most ⌈items ÷ parts⌉ items; returns their indices.

    The costliest item first, each to the part with the least; then the costliest part swaps an item with another for as
    long as that helps by more than a hundredth of the mean.
    """
    most = math.ceil(len(costs) / parts)
    found: list[list[int]] = [[] for _ in range(parts)]
    sums = [0.0] * parts
    for item in sorted(range(len(costs)), key=lambda at: -costs[at]):
        target = min((part for part in range(parts) if len(found[part]) < most), key=sums.__getitem__)
        found[target].append(item)
        sums[target] += costs[item]
    while swap := _best_swap(found, sums, costs):
        high, low, give, take = swap
        found[high][give], found[low][take] = found[low][take], found[high][give]
        for part in (high, low):
            sums[part] = sum(costs[item] for item in found[part])
    return [sorted(part) for part in found]


def _best_swap(found: list[list[int]], sums: list[float], costs: Sequence[float]) -> tuple[int, int, int, int] | None:
    """The swap that lowers the costliest part most: (part, other part, place in it, place there), if one is worth it.

    What the costliest part gives away must leave the other one below what the costliest was.
    """
    high = max(range(len(sums)), key=sums.__getitem__)
    least_gain = 0.01 * sum(sums) / len(sums)
    best: tuple[float, tuple[int, int, int, int]] | None = None
    for low in range(len(sums)):
        for give, item in enumerate(found[high]):
            for take, other in enumerate(found[low]):
                moved = costs[item] - costs[other]
                gain = min(moved, sums[high] - sums[low] - moved)
                if gain > least_gain and (best is None or gain > best[0]):
                    best = gain, (high, low, give, take)
    return best[1] if best else None
