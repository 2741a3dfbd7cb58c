"""The learning rate of each step: linear warm-up, then constant, linear or cosine decay; pure."""

import math


def learning_rate(step: int, steps: int, peak: float, warmup_share: float, kind: str) -> float:
    """The learning rate of a step, counted from 0.

    Warm-up climbs to `peak` over the first `warmup_share` of the steps, rounded down. Decay starts at `peak` and would
    reach zero one step after the last, so that no step is spent at zero.

    Args:
        step: 0 ≤ step < steps.
        steps: optimizer steps of the run.
        peak: highest learning rate.
        warmup_share: share of the steps spent warming up, 0 ≤ share < 1.
        kind: `constant`, `linear` or `cosine`.
    """
    warmup = int(warmup_share * steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)
    if kind == "constant":
        return peak
    if kind == "linear":
        return peak * (1 - progress)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
