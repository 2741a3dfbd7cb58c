"""Figures of a training run from what its steps and evaluations found; pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from raylign.train.objectives import PairLogps, pair_losses, pair_metrics
from raylign.train.reference import AnswerLogps

_HELDOUT_NAMES = {
    "rewards/accuracies": "reward_accuracy",
    "rewards/margins": "reward_margin",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "logps/chosen": "logps_chosen",
    "logps/rejected": "logps_rejected",
}


def heldout_figures(
    policy: Mapping[str, AnswerLogps], reference: Mapping[str, AnswerLogps], objective: str, beta: float
) -> dict[str, float | int]:
    """Means over the held-out pairs: loss, reward accuracy and margin, rewards, log-probabilities; `pairs` for none."""
    if not policy:
        return {"pairs": 0}
    ids = list(policy)
    columns = [[logps[id_][side] for id_ in ids] for logps in (policy, reference) for side in (0, 1)]
    logps = PairLogps(*(torch.tensor(column) for column in columns))
    means = {_HELDOUT_NAMES[name]: float(values.mean()) for name, values in pair_metrics(logps, beta).items()}
    return {"pairs": len(ids), "loss": float(pair_losses(objective, logps, beta).mean()), **means}


def final_loss(losses: Sequence[float]) -> float:
    """Mean loss over the last tenth of the steps, at least one."""
    last = losses[-max(1, math.ceil(len(losses) / 10)) :]
    return sum(last) / len(last)


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The same figures with numbers to six significant digits, as people read them."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in figures.items()}
