"""Preference objectives on per-sequence log-probabilities: pure torch, no model, no data, no cluster.

With policy π_θ, reference π_ref and anchor strength β, the implicit reward of an answer y to a prompt x is
r(x, y) = β · (log π_θ(y|x) − log π_ref(y|x)) (arXiv 2305.18290, section 4). |y| counts the answer's tokens.

    apo_zero   1 − σ(r_chosen) + σ(r_rejected)                        arXiv 2408.06266, equation of L^apo_zero
    apo_down   σ(r_chosen) + 1 − σ(r_chosen − r_rejected)             arXiv 2408.06266, equation of L^apo_down
    dpo        −(1 − ε)·log σ(m) − ε·log σ(−m), m = r_chosen − r_rejected
                                                                      arXiv 2305.18290, equation 7, which is ε = 0; ε is
                                                                      the share of wrong labels, as in conservative DPO
    ipo        (h_chosen − h_rejected − 1/(2τ))², h = r/(β·|y|)       arXiv 2310.12036, equation 17, with τ = β
    kto        w·(1 − σ(r − β·z)) of a desirable answer, w·(1 − σ(β·z − r)) of an undesirable one
                                                                      arXiv 2402.01306, equation of L_KTO; z is its
                                                                      z_ref, see raylign.train.baseline
    apo_zero_unpaired   kto with z = 0                                arXiv 2408.06266, L^apo_zero an answer at a time
    sft        −log π_θ(chosen) / |chosen|                            the negative log-likelihood, added to a preference
                                                                      loss as in arXiv 2404.19733

Departures. From the APO paper: its losses carry a constant +1, so that each is exactly 1.0 while the policy equals the
reference; no gradient depends on it. From the IPO paper, with TRL: h is a mean over the answer's tokens, without which
the squared loss grows with length. From TRL: sft is a mean over each answer's own tokens and then over answers, so that
long answers weigh no more and the sum does not depend on how pairs fall into batches.

The loss of a row is a mean over its answers where the objective looks at them one by one, and the loss of a batch is a
mean over its rows: a sum of row losses over the global batch's number of rows, however it is split.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from raylign.config.objective import Term, objective_in_words, parse_objective
from raylign.config.training import TrainConfig
from raylign.train.tokens import TokenPair


@dataclass(frozen=True)
class PairLogps:
    """Summed log-probabilities (fp32, nats) and lengths (tokens) of the answers of B pairs, each of shape [B].

    An answer of no tokens is one that was not given: the row holds a single answer. Its log-probabilities are 0.
    """

    policy_chosen_B: torch.Tensor
    policy_rejected_B: torch.Tensor
    reference_chosen_B: torch.Tensor
    reference_rejected_B: torch.Tensor
    chosen_tokens_B: torch.Tensor
    rejected_tokens_B: torch.Tensor

    @classmethod
    def of(
        cls,
        pairs: Sequence[TokenPair],
        policy_chosen_B: torch.Tensor,
        policy_rejected_B: torch.Tensor,
        reference: Mapping[str, tuple[float, float]],
    ) -> "PairLogps":
        """The policy's log-probabilities of `pairs` beside those that the reference has of them by id."""
        device = policy_chosen_B.device
        known = torch.tensor([reference[pair.id] for pair in pairs], dtype=torch.float32, device=device)
        tokens = torch.tensor([[len(pair.chosen_ids), len(pair.rejected_ids)] for pair in pairs], device=device)
        return cls(policy_chosen_B, policy_rejected_B, known[:, 0], known[:, 1], tokens[:, 0], tokens[:, 1])

    @property
    def chosen_ratios(self) -> torch.Tensor:
        """log π_θ − log π_ref of the chosen answers, [B] in nats."""
        return self.policy_chosen_B - self.reference_chosen_B

    @property
    def rejected_ratios(self) -> torch.Tensor:
        """log π_θ − log π_ref of the rejected answers, [B] in nats."""
        return self.policy_rejected_B - self.reference_rejected_B


@dataclass(frozen=True)
class Objective:
    """A weighted sum of losses with its parameters; `TrainConfig` says what each of them is."""

    terms: tuple[Term, ...]
    beta: float
    label_smoothing: float = 0.0
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    @classmethod
    def of(cls, train: TrainConfig) -> "Objective":
        """The configured objective."""
        return cls(
            parse_objective(train.objective),
            train.beta,
            train.label_smoothing,
            train.desirable_weight,
            train.undesirable_weight,
        )

    def __str__(self) -> str:
        return objective_in_words(self.terms)

    @property
    def needs_baseline(self) -> bool:
        """Whether a step's loss depends on z_ref, the KL baseline of its global batch."""
        return any(term.name == "kto" for term in self.terms)

    def losses(self, logps: PairLogps, z_ref: float = 0.0) -> dict[str, torch.Tensor]:
        """The loss of each row, [B] in fp32, and where it is a sum each of its terms without its weight.

        Args:
            logps: rows whose answers are there as far as the terms need them (`raylign.train.tokens.usable_for`).
            z_ref: KL baseline of the global batch, in nats; see `needs_baseline`.
        """
        terms = {term.name: LOSSES[term.name](self, logps, z_ref) for term in self.terms}
        total = torch.stack([term.weight * terms[term.name] for term in self.terms]).sum(0)
        each = {f"loss/{name}": losses_B.detach() for name, losses_B in terms.items()} if len(terms) > 1 else {}
        return {"loss": total, **each}

    def preference_loss(self, means: Mapping[str, float]) -> float:
        """The loss without its `sft` term, from the means of what `losses` gives; the whole of it where sft is all.

        While the policy equals the reference it has a value that the objective says (1 for the APO losses), and what it
        comes to says how well the preference is learned; the likelihood of the chosen answers has neither.
        """
        terms = [term for term in self.terms if term.name != "sft"]
        if not terms or terms == list(self.terms):
            return means["loss"]
        return sum(term.weight * means[f"loss/{term.name}"] for term in terms)


def _apo_zero(objective: Objective, logps: PairLogps, z_ref: float) -> torch.Tensor:
    """Raises the chosen and lowers the rejected: for a target model weaker than the chosen."""
    chosen_B, rejected_B = objective.beta * logps.chosen_ratios, objective.beta * logps.rejected_ratios
    return 1 - torch.sigmoid(chosen_B) + torch.sigmoid(rejected_B)


def _apo_down(objective: Objective, logps: PairLogps, z_ref: float) -> torch.Tensor:
    """Lowers both, the rejected more: for a target model stronger than the chosen."""
    chosen_B, rejected_B = objective.beta * logps.chosen_ratios, objective.beta * logps.rejected_ratios
    return torch.sigmoid(chosen_B) + 1 - torch.sigmoid(chosen_B - rejected_B)


def _dpo(objective: Objective, logps: PairLogps, z_ref: float) -> torch.Tensor:
    """Only widens the margin between chosen and rejected."""
    margin_B = objective.beta * (logps.chosen_ratios - logps.rejected_ratios)
    wrong = objective.label_smoothing
    return -(1 - wrong) * F.logsigmoid(margin_B) - wrong * F.logsigmoid(-margin_B)


def _ipo(objective: Objective, logps: PairLogps, z_ref: float) -> torch.Tensor:
    """Widens the margin a token up to 1/(2τ) and no further."""
    margin_B = logps.chosen_ratios / logps.chosen_tokens_B - logps.rejected_ratios / logps.rejected_tokens_B
    return (margin_B - 1 / (2 * objective.beta)) ** 2


def _kto(objective: Objective, logps: PairLogps, z_ref: float) -> torch.Tensor:
    """Raises each desirable answer over the baseline and lowers each undesirable one below it; a mean over both."""
    chosen_B = objective.desirable_weight * torch.sigmoid(objective.beta * (z_ref - logps.chosen_ratios))
    rejected_B = objective.undesirable_weight * torch.sigmoid(objective.beta * (logps.rejected_ratios - z_ref))
    has_chosen_B, has_rejected_B = logps.chosen_tokens_B > 0, logps.rejected_tokens_B > 0
    return (chosen_B * has_chosen_B + rejected_B * has_rejected_B) / (has_chosen_B.int() + has_rejected_B.int())


def _apo_zero_unpaired(objective: Objective, logps: PairLogps, z_ref: float) -> torch.Tensor:
    """Raises each desirable answer and lowers each undesirable one, with no baseline to estimate."""
    return _kto(objective, logps, 0.0)


def _sft(objective: Objective, logps: PairLogps, z_ref: float) -> torch.Tensor:
    """Raises the chosen answer alone; 0 where none is given.

    Preference losses lower the rejected answer and leave open what takes its place; this keeps it the chosen one.
    """
    return -logps.policy_chosen_B * (logps.chosen_tokens_B > 0) / logps.chosen_tokens_B.clamp(min=1)


LOSSES: dict[str, Callable[[Objective, PairLogps, float], torch.Tensor]] = {
    "apo_zero": _apo_zero,
    "apo_down": _apo_down,
    "dpo": _dpo,
    "ipo": _ipo,
    "apo_zero_unpaired": _apo_zero_unpaired,
    "kto": _kto,
    "sft": _sft,
}
"""The loss of each row [B] by the objective's name, from its parameters, log-probabilities and z_ref."""


def pair_metrics(logps: PairLogps, beta: float) -> dict[str, torch.Tensor]:
    """The standard preference metrics of each row, [B] each and without gradient; NaN where they need an answer that
    is not given. Average them over the rows that have them.

    `kl/rejected` is log π_ref − log π_θ of the rejected answer in nats: where the rejected answers are the model's own
    drafts, its mean estimates KL(π_ref ‖ π_θ) a sequence without bias.
    """
    with torch.no_grad():
        absent = torch.tensor(torch.nan, device=logps.policy_chosen_B.device)
        chosen, rejected = logps.chosen_tokens_B > 0, logps.rejected_tokens_B > 0
        chosen_B = torch.where(chosen, beta * logps.chosen_ratios, absent)
        rejected_B = torch.where(rejected, beta * logps.rejected_ratios, absent)
        margins_B = chosen_B - rejected_B
        return {
            "rewards/chosen": chosen_B,
            "rewards/rejected": rejected_B,
            "rewards/margins": margins_B,
            "rewards/accuracies": torch.where(margins_B.isnan(), margins_B, (margins_B > 0).float()),
            "logps/chosen": torch.where(chosen, logps.policy_chosen_B, absent),
            "logps/rejected": torch.where(rejected, logps.policy_rejected_B, absent),
            "kl/rejected": torch.where(rejected, -logps.rejected_ratios, absent),
        }
