"""The held-out suite: rewards and likelihood movement by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
from records import make_pair

from raylign.config import load_config
from raylign.errors import InputError
from raylign.evaluate.suites.heldout import Heldout
from raylign.evaluate.suites.suite import PairLikelihood, Suite, is_over_likelihoods
from raylign.parts import PartWriter
from raylign.records import Pair

CONFIG = load_config(None, ["train.beta=0.5"])


def test_rewards_and_movement_by_hand(tmp_path: Path) -> None:
    """β = 0.5. p0: chosen +4, rejected −2: margin 3. p1: both −2: margin 0, counts half. p2: chosen −1: margin −0.5."""
    suite = Heldout.create(CONFIG, tmp_path)
    base = {f"p{number}": PairLikelihood(-10.0, -20.0, 4, 6) for number in range(3)}
    aligned = {
        "p0": PairLikelihood(-6.0, -22.0, 4, 6),
        "p1": PairLikelihood(-12.0, -22.0, 4, 6),
        "p2": PairLikelihood(-11.0, -20.0, 4, 6),
    }
    result = suite.score_pairs({"base": base, "aligned": aligned}, {"too_long": 2})
    metrics = {metric.name: metric.values for metric in result.metrics}
    assert metrics["reward_margin"]["aligned"] == {"p0": 3.0, "p1": 0.0, "p2": -0.5}
    assert metrics["reward_accuracy"]["aligned"] == {"p0": 1.0, "p1": 0.5, "p2": 0.0}
    assert set(metrics["reward_accuracy"]["base"].values()) == {0.5}
    assert set(metrics["reward_margin"]["base"].values()) == {0.0}
    assert metrics["logp_chosen"]["aligned"]["p0"] - metrics["logp_chosen"]["base"]["p0"] == 4.0
    assert result.extra["movement"] == {"aligned": {"chosen": [-2.0, -1.0, 4.0], "rejected": [-2.0, -2.0, 0.0]}}
    assert result.counts == {"base": {"ok": 3, "too_long": 2}, "aligned": {"ok": 3, "too_long": 2}}
    assert is_over_likelihoods(suite)


def test_only_held_out_pairs_with_two_answers_are_measured(tmp_path: Path) -> None:
    suite = Heldout.create(CONFIG, tmp_path)
    with pytest.raises(InputError, match="holds no pairs with two answers"):
        suite.pairs()
    suite = Heldout.create(CONFIG, tmp_path)
    with PartWriter(tmp_path / "pairs" / "heldout", Pair) as writer:
        writer.add([make_pair(id="b"), make_pair(id="a"), replace(make_pair(id="c"), rejected=[])])
    pairs = suite.pairs()
    assert [pair.id for pair in pairs] == ["a", "b"], "a single answer has no pair"
    assert suite.version != Heldout(tmp_path / "pairs", 0.1).version, "β decides what a reward is"


def test_long_movements_are_kept_as_quantiles(tmp_path: Path) -> None:
    base = {str(number): PairLikelihood(0.0, 0.0, 1, 1) for number in range(1001)}
    aligned = {str(number): PairLikelihood(float(number), 0.0, 1, 1) for number in range(1001)}
    found = Heldout(tmp_path, 1.0).score_pairs({"base": base, "aligned": aligned}, {}).extra["movement"]["aligned"]
    assert found["chosen"] == [10.0 * number for number in range(101)]


def test_a_suite_with_answers_is_not_taken_for_one_over_likelihoods() -> None:
    from raylign.evaluate.suites.ifeval import Ifeval

    suite: Suite = Ifeval([])
    assert not is_over_likelihoods(suite)
