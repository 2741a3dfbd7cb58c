"""Which pairs a step trains on and which worker takes which: from seed and epoch alone; pure."""

import math
from dataclasses import dataclass

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


def share(batch: list[int], rank: int, workers: int, micro_batches: int) -> list[list[int]]:
    """A worker's part of a global batch, as the same number of micro-batches on every worker.

    Slots of the batch go round the workers, then round each worker's micro-batches. An incomplete batch leaves some
    micro-batches short or empty; an empty one still costs a pass, since workers reduce their gradients together.
    """
    mine = batch[rank::workers]
    return [mine[index::micro_batches] for index in range(micro_batches)]
