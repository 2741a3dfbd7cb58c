"""What decides between apo_zero and apo_down: judgement before labels before likelihood, by intervals over prompts."""

import pytest

from raylign.recommend.evidence import (
    Judgement,
    Likelihood,
    Outcome,
    Scored,
    decide,
    weigh_judgement,
    weigh_likelihood,
)
from raylign.recommend.words import lines


def judged(chosen: int, own: int, neither: int = 0) -> Judgement:
    scores = [1.0] * chosen + [0.0] * own + [0.5] * neither
    return weigh_judgement([Outcome(str(at), score) for at, score in enumerate(scores)], "judge", False)


def scored(chosen: float, rejected: float, prompts: int = 40, own: float = -0.95) -> Likelihood | None:
    """Prompts that differ by up to 0.4 nats from each other, as real ones do."""
    noise = [0.1 * (at % 5 - 2) for at in range(prompts)]
    return weigh_likelihood([Scored(str(at), own, chosen + off, rejected) for at, off in enumerate(noise)], seed=0)


@pytest.mark.parametrize(
    ("chosen", "own", "neither", "objective"),
    [
        (15, 5, 0, "apo_zero"),  # 75%, Wilson 53% to 89%
        (5, 15, 0, "apo_down"),
        (14, 6, 0, None),  # 70%, Wilson 48% to 85%
        (15, 5, 100, "apo_zero"),  # comparisons without a preference speak for neither
        (6, 0, 50, "apo_zero"),
        (5, 0, 50, None),  # too few preferences, however clear
        (0, 0, 50, None),
    ],
)
def test_a_judge_decides_where_the_interval_of_its_preferences_leaves_out_one_half(
    chosen: int, own: int, neither: int, objective: str | None
) -> None:
    decision = decide(scored(-1.0, -0.8), judged(chosen, own, neither), rejected_are_own=True)
    assert (decision.objective, decision.basis) == (objective, "judgement")


def test_pairs_of_one_prompt_count_as_one_observation() -> None:
    outcomes = [Outcome("the same", 1.0)] * 30 + [Outcome(str(at), 0.0) for at in range(12)]
    found = weigh_judgement(outcomes, "judge", False)
    assert (found.prompts, found.chosen_wins, found.own_wins) == (13, 30, 12)
    assert found.win_rate == pytest.approx(1 / 13)
    assert decide(None, found, False).objective == "apo_down"


def test_a_prompt_that_is_judged_both_ways_counts_half() -> None:
    found = weigh_judgement([Outcome("p", 1.0), Outcome("p", 0.0), Outcome("q", 1.0)], "judge", False)
    assert found.win_rate == pytest.approx((0.5 + 1.0) / 2)


def test_without_a_judge_the_labels_of_own_answers_decide() -> None:
    decision = decide(scored(-1.0, -2.0), None, rejected_are_own=True)
    assert (decision.objective, decision.basis) == ("apo_zero", "labels")


@pytest.mark.parametrize(
    ("own", "chosen", "rejected", "prompts", "objective"),
    [
        (-0.95, -1.2, -1.0, 40, "apo_zero"),  # the rejected are such as the model writes, the chosen are not
        (-0.50, -1.2, -1.0, 40, None),  # both are unlike what it writes: beyond it, or beneath it
        (-0.95, -0.8, -1.0, 40, None),  # the chosen are the likelier ones: outgrown, or merely fluent
        (-0.95, -1.02, -1.0, 40, None),  # within the noise
        (-0.95, -1.2, -1.0, 9, None),
    ],
)
def test_likelihood_speaks_for_apo_zero_or_not_at_all(
    own: float, chosen: float, rejected: float, prompts: int, objective: str | None
) -> None:
    decision = decide(scored(chosen, rejected, prompts, own), None, rejected_are_own=False)
    assert (decision.objective, decision.basis) == (objective, "likelihood")


def test_likelihood_is_a_mean_over_prompts_with_an_interval_around_it() -> None:
    one = [Scored("p", -1.0, -2.0, -3.0)] * 9 + [Scored("q", -2.0, -4.0, -7.0)]
    found = weigh_likelihood(one, seed=0)
    assert found is not None
    assert (found.prompts, found.own, found.chosen, found.rejected) == (2, -1.5, -3.0, -5.0)
    assert found.chosen_over_rejected.value == pytest.approx(2.0)  # 1 and 3
    assert found.chosen_over_rejected.interval == pytest.approx([1.0, 3.0])
    assert (found.own_over_chosen.value, found.own_over_rejected.value) == pytest.approx((1.5, 3.5))
    assert weigh_likelihood([], seed=0) is None


def test_a_person_reads_the_decision_first_and_then_all_evidence() -> None:
    likelihood, judgement = scored(-1.0, -0.8), judged(15, 5, 3)
    shown = lines(decide(likelihood, judgement, False), likelihood, judgement, {"own_cut_off": 7})
    assert shown[0].startswith("recommend  train.objective=apo_zero, by judgement")
    assert "75% (95% interval 53% to 89%) of 20 prompts" in shown[1]
    assert any("own_cut_off 7" in line for line in shown)
    assert any("chosen over rejected -0.20 (95% interval" in line for line in shown)
    nothing = lines(decide(None, None, False), None, None, {})
    assert "does not decide" in nothing[0]
    assert "revise.base_url" in nothing[1]
