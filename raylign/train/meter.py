"""What a run's steps took: throughput, model FLOPs utilisation, imbalance and peak memory; pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What one worker did in one step."""

    tokens: float
    """Tokens computed, padding not counted."""
    flops: float
    """Model FLOPs of its forward and backward passes."""
    peak_bytes: int
    """The most memory it has held since its start."""


@dataclass
class Meter:
    """Sums over the steps of a run, over restarts too."""

    pairs: int = 0
    tokens: float = 0
    flops: float = 0.0
    seconds: float = 0.0
    busiest_tokens: float = 0.0
    """Sum over steps of the tokens of that step's busiest worker."""
    mean_tokens: float = 0.0
    """Sum over steps of the mean over workers."""
    worker_seconds: float = 0.0
    """Sum over steps of seconds times workers."""
    peak_bytes: int = 0
    """The most memory that any worker has held."""

    def add(self, pairs: int, loads: Sequence[Load], seconds: float) -> None:
        """Take a step of so many pairs, done by workers with these loads."""
        tokens = [load.tokens for load in loads]
        self.pairs += pairs
        self.tokens += sum(tokens)
        self.flops += sum(load.flops for load in loads)
        self.seconds += seconds
        self.busiest_tokens += max(tokens)
        self.mean_tokens += sum(tokens) / len(tokens)
        self.worker_seconds += seconds * len(loads)
        self.peak_bytes = max(self.peak_bytes, *(load.peak_bytes for load in loads))

    def figures(self, peak_flops_per_second: float) -> dict[str, float]:
        """Means over all steps.

        Args:
            peak_flops_per_second: what one worker could do at most.

        Returns:
            `pairs_per_second` and `tokens_per_second` over all workers; `model_flops_utilisation`, 0 to 1;
            `token_imbalance`, the busiest worker's tokens over the mean, where 1 is none; `peak_memory_gib` of the
            worker that held most.
        """
        return {
            "pairs_per_second": self.pairs / self.seconds,
            "tokens_per_second": self.tokens / self.seconds,
            "model_flops_utilisation": self.flops / (self.worker_seconds * peak_flops_per_second),
            "token_imbalance": self.busiest_tokens / self.mean_tokens,
            "peak_memory_gib": self.peak_bytes / 2**30,
        }
