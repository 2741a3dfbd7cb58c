"""What verdicts in both orders say together: win, tie or loss, and how far the judge can be trusted. Pure.

A judge that compares two answers is asked twice, each answer standing first once. A verdict is a place, `first` or
`second`, or `tie`; anything else is a reply that could not be had or read.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from raylign.evaluate.statistics import wilson_interval

Outcome = Literal["win", "tie", "loss"]

PREFERENCE: Mapping[Outcome, float] = {"win": 1.0, "tie": 0.5, "loss": 0.0}
"""What each outcome counts in a win rate."""
_CHOICES = ("first", "second", "tie")


def outcome(forward: str, backward: str) -> Outcome | None:
    """What two verdicts say of a model's answer; None where one of them could not be had or read.

    A win or a loss counts where both orders name the same answer. All else is a tie, also where the judge named the
    same place twice, which says nothing of the answers (Zheng et al., arXiv 2306.05685, section 3.4).

    Args:
        forward: The verdict where the model's answer stood first.
        backward: The verdict where it stood second.
    """
    if forward not in _CHOICES or backward not in _CHOICES:
        return None
    if (forward, backward) == ("first", "second"):
        return "win"
    if (forward, backward) == ("second", "first"):
        return "loss"
    return "tie"


def order_agreement(verdicts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Position bias and self-consistency over rows with a verdict in both orders, each with a 95% Wilson interval.

    `position_bias` is the share of rows for which the judge named the same place twice; `same_place` says which place.
    `self_consistency` is the share for which it said the same of the answers both times: the same answer, or a tie.
    Both are null where there is no such row.

    Args:
        verdicts: A row's verdicts in the two orders, whichever is first.
    """
    both = [pair for pair in verdicts if pair[0] in _CHOICES and pair[1] in _CHOICES]
    same_place = Counter(one for one, other in both if one == other != "tie")
    consistent = sum(pair in (("first", "second"), ("second", "first"), ("tie", "tie")) for pair in both)
    return {
        "judged_twice": len(both),
        **_share("position_bias", sum(same_place.values()), len(both)),
        "same_place": {place: same_place[place] for place in ("first", "second")},
        **_share("self_consistency", consistent, len(both)),
    }


def summarise_verdicts(verdicts: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Counts of wins, ties, losses and rows that were not judged, which sum to the rows; and how the judge agrees.

    Args:
        verdicts: Row id, then the verdicts with the model's answer first and second, as for `outcome`.
    """
    found: Counter[str] = Counter(outcome(*pair) or "not_judged" for pair in verdicts.values())
    names = ("win", "tie", "loss", "not_judged")
    return {**{name: found[name] for name in names}, **order_agreement(verdicts.values())}


def _share(name: str, hits: int, count: int) -> dict[str, Any]:
    return {
        name: round(hits / count, 4) if count else None,
        f"{name}_ci95": wilson_interval(hits, count),
    }
