"""Preference objectives on per-sequence log-probabilities: pure torch, no model, no data, no cluster.

With policy π_θ, reference π_ref and anchor strength β, the implicit reward of an answer y to a prompt x is
r(x, y) = β · (log π_θ(y|x) − log π_ref(y|x)) (arXiv 2305.18290, section 4).

    apo_zero   1 − σ(r_chosen) + σ(r_rejected)                arXiv 2408.06266, equation of L^apo_zero
    apo_down   σ(r_chosen) + 1 − σ(r_chosen − r_rejected)     arXiv 2408.06266, equation of L^apo_down
    dpo        −log σ(r_chosen − r_rejected)                  arXiv 2305.18290, equation 7
    sft        −log π_θ(chosen) / tokens of chosen            added to any of them by a weight, as in
                                                              arXiv 2404.19733, there also over the prompt's tokens

Departure from the paper: both APO losses carry a constant +1, so that each is exactly 1.0 while the policy
equals the reference. No gradient depends on it, and a first step that is not at 1.0 betrays a wrong reference.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class PairLogps:
    """Summed log-probabilities of the answers of B pairs, fp32, each of shape [B]."""

    policy_chosen_B: torch.Tensor
    policy_rejected_B: torch.Tensor
    reference_chosen_B: torch.Tensor
    reference_rejected_B: torch.Tensor

    def rewards(self, beta: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Implicit rewards of chosen and rejected, [B] each, in nats times β."""
        return (
            beta * (self.policy_chosen_B - self.reference_chosen_B),
            beta * (self.policy_rejected_B - self.reference_rejected_B),
        )


def apo_zero(reward_chosen_B: torch.Tensor, reward_rejected_B: torch.Tensor) -> torch.Tensor:
    """Loss [B] that raises the chosen and lowers the rejected: for a target model weaker than the chosen."""
    return 1 - torch.sigmoid(reward_chosen_B) + torch.sigmoid(reward_rejected_B)


def apo_down(reward_chosen_B: torch.Tensor, reward_rejected_B: torch.Tensor) -> torch.Tensor:
    """Loss [B] that lowers both, the rejected more: for a target model stronger than the chosen."""
    return torch.sigmoid(reward_chosen_B) + 1 - torch.sigmoid(reward_chosen_B - reward_rejected_B)


def dpo(reward_chosen_B: torch.Tensor, reward_rejected_B: torch.Tensor) -> torch.Tensor:
    """Loss [B] that only widens the margin between chosen and rejected."""
    return -F.logsigmoid(reward_chosen_B - reward_rejected_B)


@dataclass(frozen=True)
class Objective:
    """A loss over implicit rewards, and its value while the policy still equals the reference."""

    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    start: float


OBJECTIVES = {
    "apo_zero": Objective(apo_zero, 1.0),
    "apo_down": Objective(apo_down, 1.0),
    "dpo": Objective(dpo, math.log(2)),
}


def pair_losses(name: str, logps: PairLogps, beta: float) -> torch.Tensor:
    """Loss of each pair, [B] in fp32; the caller sums and divides by the size of the global batch.

    Raises:
        KeyError: `name` is not in OBJECTIVES (the configuration is checked before it comes here).
    """
    return OBJECTIVES[name].loss(*logps.rewards(beta))


def sft_losses(policy_chosen_B: torch.Tensor, chosen_tokens_B: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each chosen answer, [B], a mean over its tokens: long answers weigh no more.

    Preference losses lower the rejected answer and leave open what takes its place; this keeps it the chosen one.
    """
    return -policy_chosen_B / chosen_tokens_B


def pair_metrics(logps: PairLogps, beta: float) -> dict[str, torch.Tensor]:
    """The standard preference metrics of each pair, [B] each and without gradient; average them over pairs."""
    with torch.no_grad():
        chosen_B, rejected_B = logps.rewards(beta)
        return {
            "rewards/chosen": chosen_B,
            "rewards/rejected": rejected_B,
            "rewards/margins": chosen_B - rejected_B,
            "rewards/accuracies": (chosen_B > rejected_B).float(),
            "logps/chosen": logps.policy_chosen_B.detach(),
            "logps/rejected": logps.policy_rejected_B.detach(),
        }
