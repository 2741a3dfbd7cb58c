"""Figures of a training run from what its steps and evaluations found; pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from raylign.train.objectives import Objective, PairLogps, pair_metrics
from raylign.train.reference import AnswerLogps
from raylign.train.tokens import TokenPair

_HELDOUT_NAMES = {
    "rewards/accuracies": "reward_accuracy",
    "rewards/margins": "reward_margin",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "logps/chosen": "logps_chosen",
    "logps/rejected": "logps_rejected",
}


def heldout_figures(
    pairs: Sequence[TokenPair],
    policy: Mapping[str, AnswerLogps],
    reference: Mapping[str, AnswerLogps],
    objective: Objective,
) -> dict[str, float | int]:
    """Means over the held-out rows: loss, reward accuracy, margin, rewards, log-probabilities; only `pairs` for none.

    The margin is the chosen answers' mean reward less the rejected ones'. What no row has, such as the accuracy of
    single answers, is left out. The loss is the whole objective's, that of `kto` with its baseline at 0.
    """
    if not pairs:
        return {"pairs": 0}
    scores = torch.tensor([policy[pair.id] for pair in pairs])
    logps = PairLogps.of(pairs, scores[:, 0], scores[:, 1], reference)
    metrics = pair_metrics(logps, objective.beta)
    means = {name: float(values.nanmean()) for name, values in metrics.items() if name in _HELDOUT_NAMES}
    means["rewards/margins"] = means["rewards/chosen"] - means["rewards/rejected"]
    named = {_HELDOUT_NAMES[name]: value for name, value in means.items() if not math.isnan(value)}
    return {"pairs": len(pairs), "loss": float(objective.losses(logps)["loss"].mean()), **named}


def rows_by_id(pairs: Sequence[TokenPair], columns: Mapping[str, torch.Tensor]) -> dict[str, dict[str, float]]:
    """Figures [B] by name as a row for each pair; what a row with a single answer has no value for is left out."""
    values = {name: column.tolist() for name, column in columns.items()}
    rows = {pair.id: {name: column[at] for name, column in values.items()} for at, pair in enumerate(pairs)}
    for pair in pairs:
        if not (pair.chosen_ids and pair.rejected_ids):
            rows[pair.id] = {name: value for name, value in rows[pair.id].items() if not math.isnan(value)}
    return rows


def losses_of(rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The loss of each row by id. One that is no number is left out of a row with a single answer, and told here."""
    return {id_: row.get("loss", math.nan) for id_, row in rows.items()}


def means_of(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each figure over the rows that have it."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in columns.items()}


def likelihood_movement(
    pairs: Sequence[TokenPair], policy: Mapping[str, AnswerLogps], reference: Mapping[str, AnswerLogps]
) -> dict[str, float]:
    """How far the log-probabilities of both answers have moved from the reference, in nats; nothing for no pairs.

    `movement_chosen` and `movement_rejected` are means over pairs of the sums over an answer's tokens; with
    `_per_token` the movement of all pairs over all their tokens. Preference losses can widen a margin while both fall.
    """
    figures: dict[str, float] = {}
    for side, name in enumerate(("chosen", "rejected")):
        answers = [(pair.id, len(pair.rejected_ids if side else pair.chosen_ids)) for pair in pairs]
        moved = [policy[id_][side] - reference[id_][side] for id_, tokens in answers if tokens]
        if moved:
            figures[f"movement_{name}"] = sum(moved) / len(moved)
            figures[f"movement_{name}_per_token"] = sum(moved) / sum(tokens for _, tokens in answers)
    return figures


def final_loss(losses: Sequence[float]) -> float:
    """Mean loss over the last tenth of the steps, at least one."""
    last = losses[-max(1, math.ceil(len(losses) / 10)) :]
    return sum(last) / len(last)


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The same figures with numbers to six significant digits, as people read them."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in figures.items()}
