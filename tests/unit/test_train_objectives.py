"""Losses against numbers worked out by hand, their gradients, their limits, and what does not change them."""

import math
from itertools import pairwise

import pytest
import torch

from raylign.config import TrainConfig
from raylign.config.objective import OBJECTIVES, parse_objective
from raylign.train.objectives import LOSSES, Objective, PairLogps, pair_metrics
from raylign.train.tokens import TokenPair

PREFERENCE = [name for name in OBJECTIVES if name != "sft"]


def objective(text: str, beta: float = 0.1, **parameters: float) -> Objective:
    return Objective(parse_objective(text), beta, **parameters)


def logps(
    chosen: float, rejected: float, reference: tuple[float, float] = (-20.0, -30.0), tokens: tuple[int, int] = (4, 10)
) -> PairLogps:
    """One pair, as leaf tensors whose gradients can be read."""
    values = [torch.tensor([value], requires_grad=True) for value in (chosen, rejected, *reference)]
    return PairLogps(*values, *(torch.tensor([count]) for count in tokens))


def loss(of: Objective, values: PairLogps, z_ref: float = 0.0) -> torch.Tensor:
    return of.losses(values, z_ref)["loss"]


def random_logps(seed: int = 0, rows: int = 12) -> PairLogps:
    """Rows in fp64 with log-ratios of a few nats; the last two hold a single answer each, one of either kind."""
    chance = torch.Generator().manual_seed(seed)

    def draw(scale: float) -> torch.Tensor:
        return torch.randn(rows, generator=chance, dtype=torch.float64) * scale

    tokens = [torch.randint(1, 40, (rows,), generator=chance) for _ in range(2)]
    reference = [-30 + draw(5), -40 + draw(5)]
    policy = [values + draw(4) for values in reference]
    for side, row in ((1, -2), (0, -1)):
        for column in (tokens[side], reference[side], policy[side]):
            column[row] = 0
    return PairLogps(policy[0].requires_grad_(), policy[1].requires_grad_(), *reference, *tokens)


def pairs_only(values: PairLogps) -> PairLogps:
    return take(values, slice(0, -2))


def take(values: PairLogps, rows: slice | list[int]) -> PairLogps:
    return PairLogps(*(getattr(values, name)[rows] for name in values.__dataclass_fields__))


@pytest.mark.parametrize(
    ("name", "start"),
    [("apo_zero", 1.0), ("apo_down", 1.0), ("dpo", math.log(2)), ("kto", 0.5), ("apo_zero_unpaired", 0.5)],
)
@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
def test_a_policy_equal_to_its_reference_has_the_start_loss(name: str, start: float, beta: float) -> None:
    """All rewards are 0 and σ(0) = ½: 1 − ½ + ½ = 1, ½ + 1 − ½ = 1, −log ½ = log 2, and (½ + ½)/2 = ½."""
    assert loss(objective(name, beta), logps(-20.0, -30.0)).item() == pytest.approx(start, abs=1e-7)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_ipo_starts_at_the_square_of_its_target_margin(beta: float) -> None:
    """(0 − 1/(2τ))²: 25 at τ = 0.1 and 1 at τ = 0.5."""
    assert loss(objective("ipo", beta), logps(-20.0, -30.0)).item() == pytest.approx(1 / (4 * beta**2), rel=1e-6)


def test_apo_zero_by_hand() -> None:
    """β = 0.1; chosen −15 against −20: r = 0.5; rejected −40 against −30: r = −1.

    1 − σ(0.5) + σ(−1) = 1 − 0.622459 + 0.268941 = 0.646482
    """
    assert loss(objective("apo_zero"), logps(-15.0, -40.0)).item() == pytest.approx(0.646482, abs=1e-6)


def test_apo_down_by_hand() -> None:
    """The same rewards, 0.5 and −1: σ(0.5) + 1 − σ(1.5) = 0.622459 + 1 − 0.817574 = 0.804885"""
    assert loss(objective("apo_down"), logps(-15.0, -40.0)).item() == pytest.approx(0.804885, abs=1e-6)


def test_dpo_by_hand() -> None:
    """The same rewards, 0.5 and −1: −log σ(1.5) = log(1 + e^−1.5) = log 1.223130 = 0.201413"""
    assert loss(objective("dpo"), logps(-15.0, -40.0)).item() == pytest.approx(0.201413, abs=1e-6)


def test_dpo_with_wrong_labels_by_hand() -> None:
    """ε = 0.1: 0.9 · 0.201413 + 0.1 · (−log σ(−1.5)) = 0.181272 + 0.1 · 1.701413 = 0.351413"""
    found = loss(objective("dpo", label_smoothing=0.1), logps(-15.0, -40.0))
    assert found.item() == pytest.approx(0.351413, abs=1e-6)


def test_ipo_by_hand() -> None:
    """τ = 0.1; +5 nats over 4 tokens against −10 over 10: 1.25 + 1 − 5 = −2.75, squared 7.5625"""
    assert loss(objective("ipo"), logps(-15.0, -40.0)).item() == pytest.approx(7.5625, abs=1e-5)


def test_kto_by_hand() -> None:
    """β = 0.1, z_ref = 2, log-ratios +5 and −10, weights 1 and 1.5:

    1 − σ(0.1 · (5 − 2)) = 1 − σ(0.3) = 0.425557; 1.5 · (1 − σ(0.1 · (2 + 10))) = 1.5 · (1 − σ(1.2)) = 1.5 · 0.231475
    their mean is (0.425557 + 0.347213) / 2 = 0.386385
    """
    of = objective("kto", undesirable_weight=1.5)
    assert loss(of, logps(-15.0, -40.0), z_ref=2.0).item() == pytest.approx(0.386385, abs=1e-6)


def test_a_pair_counts_as_a_desirable_and_an_undesirable_answer() -> None:
    pair = logps(-15.0, -40.0)
    desirable = logps(-15.0, 0.0, (-20.0, 0.0), (4, 0))
    undesirable = logps(0.0, -40.0, (0.0, -30.0), (0, 10))
    for name in ("kto", "apo_zero_unpaired"):
        of = objective(name, desirable_weight=1.2)
        alone = [loss(of, single, z_ref=1.0).item() for single in (desirable, undesirable)]
        assert loss(of, pair, z_ref=1.0).item() == pytest.approx(sum(alone) / 2)
        assert alone[0] != pytest.approx(alone[1])


def test_apo_zero_an_answer_at_a_time_is_half_of_apo_zero_and_kto_without_a_baseline() -> None:
    values = pairs_only(random_logps())
    whole, unpaired = (loss(objective(name), values) for name in ("apo_zero", "apo_zero_unpaired"))
    torch.testing.assert_close(unpaired, whole / 2)
    torch.testing.assert_close(unpaired, loss(objective("kto"), values, z_ref=0.0))
    torch.testing.assert_close(unpaired, loss(objective("apo_zero_unpaired"), values, z_ref=3.0))


def test_sft_by_hand() -> None:
    """Log-probability −12 over 4 tokens is a loss of 3 nats a token, its gradient −¼; length adds no weight."""
    short, long = logps(-12.0, -40.0, tokens=(4, 10)), logps(-60.0, -40.0, tokens=(20, 10))
    assert [loss(objective("sft"), values).item() for values in (short, long)] == [3.0, 3.0]
    for values, slope in ((short, -0.25), (long, -0.05)):
        loss(objective("sft"), values).sum().backward()
        assert values.policy_chosen_B.grad is not None
        assert values.policy_chosen_B.grad.item() == pytest.approx(slope)
        assert values.policy_rejected_B.grad is None


@pytest.mark.parametrize(
    ("name", "chosen", "rejected"),
    [
        ("apo_zero", -0.025, 0.025),
        ("apo_down", 0.0, 0.025),
        ("dpo", -0.05, 0.05),
        ("ipo", -2.5, 1.0),
        ("kto", -0.0125, 0.0125),
    ],
)
def test_first_gradients_by_hand(name: str, chosen: float, rejected: float) -> None:
    """At r = 0, σ' = ¼ and β = 0.1, so a σ contributes 0.1 · ¼ = 0.025 to its log-probability's gradient.

    apo_zero: −σ'(r_c) = −0.025 and +σ'(r_r) = +0.025: raises the chosen, lowers the rejected.
    apo_down: σ'(r_c) − σ'(r_c − r_r) = 0 and +σ'(r_c − r_r) = 0.025: the chosen waits, the rejected falls.
    dpo: −(1 − σ(0)) · 0.1 = −0.05 and +0.05.
    ipo: 2 · (0 − 5) = −10 nats a token, over 4 chosen and −10 rejected tokens.
    kto: as apo_zero, half of it for each of the two answers.
    """
    values = logps(-20.0, -30.0)
    loss(objective(name), values).sum().backward()
    assert values.policy_chosen_B.grad is not None
    assert values.policy_rejected_B.grad is not None
    assert values.policy_chosen_B.grad.item() == pytest.approx(chosen, abs=1e-6)
    assert values.policy_rejected_B.grad.item() == pytest.approx(rejected, abs=1e-6)


def test_apo_down_lowers_a_chosen_that_is_already_separated() -> None:
    """r = (1, −1): σ'(1) − σ'(2) = 0.196612 − 0.104994 > 0, so the chosen's log-probability is pushed down."""
    values = logps(-10.0, -40.0)
    loss(objective("apo_down"), values).sum().backward()
    assert values.policy_chosen_B.grad is not None
    assert values.policy_chosen_B.grad.item() == pytest.approx(0.1 * (0.196612 - 0.104994), abs=1e-6)


@pytest.mark.parametrize("text", [*OBJECTIVES, "apo_zero + 0.1·sft", "0.5*dpo + 2*ipo"])
def test_gradients_equal_finite_differences(text: str) -> None:
    of = objective(text, 0.3, label_smoothing=0.1, desirable_weight=0.8)
    values = pairs_only(random_logps())

    def total(chosen_B: torch.Tensor, rejected_B: torch.Tensor) -> torch.Tensor:
        rest = (
            values.reference_chosen_B,
            values.reference_rejected_B,
            values.chosen_tokens_B,
            values.rejected_tokens_B,
        )
        return loss(of, PairLogps(chosen_B, rejected_B, *rest), z_ref=0.7).sum()

    inputs = [side.detach().clone().requires_grad_() for side in (values.policy_chosen_B, values.policy_rejected_B)]
    assert torch.autograd.gradcheck(total, inputs)


@pytest.mark.parametrize("text", ["kto", "apo_zero_unpaired", "kto + 0.1·sft"])
def test_an_answer_that_is_not_given_has_no_part_in_loss_or_gradient(text: str) -> None:
    values = random_logps()
    sums = loss(objective(text), values, z_ref=0.5)
    assert torch.isfinite(sums).all()
    gradients = torch.autograd.grad(sums.sum(), [values.policy_chosen_B, values.policy_rejected_B], allow_unused=True)
    assert gradients[0][-1] == 0  # only rejected
    assert gradients[0][-2] != 0
    assert gradients[1][-2] == 0  # only chosen
    assert gradients[1][-1] != 0


@pytest.mark.parametrize("text", [*OBJECTIVES, "apo_zero + 4·sft"])
def test_any_split_of_a_batch_gives_the_same_loss_and_gradient(text: str) -> None:
    """One batch of ten rows, five of two, and parts of 1, 6 and 3: the sums over the batch's rows are the same."""
    values, of = pairs_only(random_logps()), objective(text)
    sides = [values.policy_chosen_B, values.policy_rejected_B]

    def found(cuts: list[int]) -> list[torch.Tensor]:
        parts = [take(values, slice(a, b)) for a, b in pairwise(cuts)]
        total = torch.stack([loss(of, part, z_ref=0.4).sum() / 10 for part in parts]).sum()
        gradients = torch.autograd.grad(total, sides, allow_unused=True)
        return [total, *(gradient for gradient in gradients if gradient is not None)]

    whole = found([0, 10])
    for cuts in ([0, 2, 4, 6, 8, 10], [0, 1, 7, 10]):
        torch.testing.assert_close(found(cuts), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in PREFERENCE if name != "ipo"])
def test_without_an_anchor_no_answer_counts(name: str) -> None:
    """β → 0 makes every reward 0, so the loss nears its start value and the gradient 0, whatever the log-ratios."""
    values = pairs_only(random_logps())
    found = loss(objective(name, 1e-9), values)
    start = loss(objective(name, 1e-9), logps(-20.0, -30.0)).item()
    assert found.tolist() == pytest.approx([start] * 10, abs=1e-6)
    gradient = torch.autograd.grad(found.sum(), values.policy_rejected_B)[0]
    assert gradient.abs().max() < 1e-8


@pytest.mark.parametrize("name", PREFERENCE)
def test_losses_of_rewards_far_from_zero_stay_finite(name: str) -> None:
    for chosen, rejected in ((-3000.0, -1.0), (-1.0, -3000.0)):
        values = logps(chosen, rejected)
        found = loss(objective(name, 1.0), values)
        found.sum().backward()
        assert torch.isfinite(found).all()
        assert values.policy_chosen_B.grad is not None
        assert torch.isfinite(values.policy_chosen_B.grad).all()


def test_a_sum_weighs_its_terms_and_shows_each_of_them() -> None:
    values = logps(-15.0, -40.0)
    found = objective("apo_zero + 4·sft").losses(values)
    assert found["loss/apo_zero"].item() == pytest.approx(0.646482, abs=1e-6)
    assert found["loss/sft"].item() == pytest.approx(15 / 4)
    assert found["loss"].item() == pytest.approx(0.646482 + 4 * 15 / 4, abs=1e-5)
    assert list(objective("dpo").losses(values)) == ["loss"]


def test_losses_are_fp32() -> None:
    assert {loss(objective(name), logps(-15.0, -40.0)).dtype for name in OBJECTIVES} == {torch.float32}


def test_every_objective_that_can_be_configured_has_its_loss() -> None:
    assert tuple(LOSSES) == OBJECTIVES
    configured = TrainConfig(objective="kto", beta=0.2, desirable_weight=1.3, undesirable_weight=0.7)
    assert Objective.of(configured) == objective("kto", 0.2, desirable_weight=1.3, undesirable_weight=0.7)


def test_log_probabilities_find_their_reference_by_id() -> None:
    pairs = [TokenPair("a", (1,), (2, 3), (4,)), TokenPair("b", (1,), (), (5, 6, 7))]
    reference = {"b": (0.0, -4.0), "a": (-1.0, -2.0), "other": (9.0, 9.0)}
    found = PairLogps.of(pairs, torch.tensor([-0.5, 0.0]), torch.tensor([-2.5, -3.0]), reference)
    assert found.chosen_ratios.tolist() == [0.5, 0.0]
    assert found.rejected_ratios.tolist() == [-0.5, 1.0]
    assert (found.chosen_tokens_B.tolist(), found.rejected_tokens_B.tolist()) == ([2, 0], [1, 3])


def test_metrics_of_a_won_and_a_lost_pair() -> None:
    """β = 0.5 on differences (2, −4) and (−1, 3): rewards (1, −2) and (−0.5, 1.5)."""
    policy = (torch.tensor([-8.0, -6.0]), torch.tensor([-9.0, -2.0]))
    reference = (torch.tensor([-10.0, -5.0]), torch.tensor([-5.0, -5.0]))
    values = PairLogps(*policy, *reference, torch.tensor([3, 4]), torch.tensor([5, 6]))
    metrics = {name: value.tolist() for name, value in pair_metrics(values, 0.5).items()}
    assert metrics == {
        "rewards/chosen": [1.0, -0.5],
        "rewards/rejected": [-2.0, 1.5],
        "rewards/margins": [3.0, -2.0],
        "rewards/accuracies": [1.0, 0.0],
        "logps/chosen": [-8.0, -6.0],
        "logps/rejected": [-9.0, -2.0],
        "kl/rejected": [4.0, -3.0],
    }


def test_metrics_that_need_a_missing_answer_are_no_number() -> None:
    metrics = {name: value.isnan().tolist()[-2:] for name, value in pair_metrics(random_logps(), 0.1).items()}
    chosen_alone, rejected_alone = [False, True], [True, False]
    assert metrics == {
        "rewards/chosen": chosen_alone,
        "rewards/rejected": rejected_alone,
        "rewards/margins": [True, True],
        "rewards/accuracies": [True, True],
        "logps/chosen": chosen_alone,
        "logps/rejected": rejected_alone,
        "kl/rejected": rejected_alone,
    }


@pytest.mark.parametrize(
    ("text", "expected"), [("apo_zero + 4·sft", 1.0), ("2·apo_zero + sft + dpo", 2.7), ("sft", 9.0), ("dpo", 9.0)]
)
def test_the_preference_loss_is_the_sum_without_sft_beside_others(text: str, expected: float) -> None:
    means = {"loss": 9.0, "loss/apo_zero": 1.0, "loss/sft": 2.0, "loss/dpo": 0.7}
    assert Objective(parse_objective(text), beta=0.1).preference_loss(means) == pytest.approx(expected)
