"""When a run has stopped getting better on its held-out pairs; pure."""

from collections.abc import Sequence

from raylign.train.tokens import TokenPair

LOWER_IS_BETTER = frozenset({"loss"})
"""Held-out figures that a better policy has less of."""


def is_measured(metric: str, pairs: Sequence[TokenPair]) -> bool:
    """Whether an evaluation on these held-out pairs gives this figure: single answers have no accuracy, and those of
    one kind no margin."""
    if metric == "reward_accuracy":
        return any(pair.chosen_ids and pair.rejected_ids for pair in pairs)
    if metric == "reward_margin":
        return any(pair.chosen_ids for pair in pairs) and any(pair.rejected_ids for pair in pairs)
    return bool(pairs)


def should_stop(values: Sequence[float], metric: str, patience: int) -> bool:
    """Whether the last `patience` evaluations, one after the other, brought nothing better than there was before them.

    A value that only equals the best one is no improvement.

    Args:
        values: the held-out figure `metric` at every evaluation so far, the newest last.
        patience: at least 1.
    """
    if len(values) <= patience:
        return False
    best = min if metric in LOWER_IS_BETTER else max
    before, since = best(values[:-patience]), best(values[-patience:])
    return best(before, since) == before
