"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from raylign.train.objectives import OBJECTIVES, PairLogps, pair_losses, pair_metrics, sft_losses


def logps(chosen: float, rejected: float, reference: tuple[float, float] = (-20.0, -30.0)) -> PairLogps:
    """One pair, as leaf tensors whose gradients can be read."""
    values = [torch.tensor([value], requires_grad=True) for value in (chosen, rejected, *reference)]
    return PairLogps(*values)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize(("name", "start"), [("apo_zero", 1.0), ("apo_down", 1.0), ("dpo", math.log(2))])
@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
def test_a_policy_equal_to_its_reference_has_the_start_loss(name: str, start: float, beta: float) -> None:
    """All rewards are 0 and σ(0) = ½: 1 − ½ + ½ = 1, ½ + 1 − ½ = 1, −log ½ = log 2."""
    assert pair_losses(name, logps(-20.0, -30.0), beta).item() == pytest.approx(start, abs=1e-7)
    assert OBJECTIVES[name].start == pytest.approx(start)


def test_apo_zero_by_hand() -> None:
    """β = 0.1; chosen −15 against −20: r = 0.5; rejected −40 against −30: r = −1.

    1 − σ(0.5) + σ(−1) = 1 − 0.622459 + 0.268941 = 0.646482
    """
    assert pair_losses("apo_zero", logps(-15.0, -40.0), 0.1).item() == pytest.approx(0.646482, abs=1e-6)


def test_apo_down_by_hand() -> None:
    """The same rewards, 0.5 and −1: σ(0.5) + 1 − σ(1.5) = 0.622459 + 1 − 0.817574 = 0.804885"""
    assert pair_losses("apo_down", logps(-15.0, -40.0), 0.1).item() == pytest.approx(0.804885, abs=1e-6)


def test_dpo_by_hand() -> None:
    """The same rewards, 0.5 and −1: −log σ(1.5) = log(1 + e^−1.5) = log 1.223130 = 0.201413"""
    assert pair_losses("dpo", logps(-15.0, -40.0), 0.1).item() == pytest.approx(0.201413, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "chosen", "rejected"),
    [("apo_zero", -0.025, 0.025), ("apo_down", 0.0, 0.025), ("dpo", -0.05, 0.05)],
)
def test_first_gradients_by_hand(name: str, chosen: float, rejected: float) -> None:
    """At r = 0, σ' = ¼ and β = 0.1, so a σ contributes 0.1 · ¼ = 0.025 to its log-probability's gradient.

    apo_zero: −σ'(r_c) = −0.025 and +σ'(r_r) = +0.025: raises the chosen, lowers the rejected.
    apo_down: σ'(r_c) − σ'(r_c − r_r) = 0 and +σ'(r_c − r_r) = 0.025: the chosen waits, the rejected falls.
    dpo: −(1 − σ(0)) · 0.1 = −0.05 and +0.05.
    """
    values = logps(-20.0, -30.0)
    pair_losses(name, values, 0.1).sum().backward()
    assert values.policy_chosen_B.grad is not None
    assert values.policy_rejected_B.grad is not None
    assert values.policy_chosen_B.grad.item() == pytest.approx(chosen, abs=1e-7)
    assert values.policy_rejected_B.grad.item() == pytest.approx(rejected, abs=1e-7)


def test_apo_down_lowers_a_chosen_that_is_already_separated() -> None:
    """r = (1, −1): σ'(1) − σ'(2) = 0.196612 − 0.104994 > 0, so the chosen's log-probability is pushed down."""
    values = logps(-10.0, -40.0)
    pair_losses("apo_down", values, 0.1).sum().backward()
    assert values.policy_chosen_B.grad is not None
    assert values.policy_chosen_B.grad.item() == pytest.approx(0.1 * (0.196612 - 0.104994), abs=1e-6)


def test_metrics_of_a_won_and_a_lost_pair() -> None:
    """β = 0.5 on differences (2, −4) and (−1, 3): rewards (1, −2) and (−0.5, 1.5)."""
    values = PairLogps(
        torch.tensor([-8.0, -6.0]), torch.tensor([-9.0, -2.0]), torch.tensor([-10.0, -5.0]), torch.tensor([-5.0, -5.0])
    )
    metrics = {name: value.tolist() for name, value in pair_metrics(values, 0.5).items()}
    assert metrics == {
        "rewards/chosen": [1.0, -0.5],
        "rewards/rejected": [-2.0, 1.5],
        "rewards/margins": [3.0, -2.0],
        "rewards/accuracies": [1.0, 0.0],
        "logps/chosen": [-8.0, -6.0],
        "logps/rejected": [-9.0, -2.0],
    }


def test_sft_by_hand() -> None:
    """Log-probability −12 over 4 tokens is a loss of 3 nats a token, its gradient −¼; length adds no weight."""
    chosen_B = torch.tensor([-12.0, -60.0], requires_grad=True)
    losses_B = sft_losses(chosen_B, torch.tensor([4, 20]))
    assert losses_B.tolist() == [3.0, 3.0]
    losses_B.sum().backward()
    assert chosen_B.grad is not None
    assert chosen_B.grad.tolist() == pytest.approx([-0.25, -0.05])
