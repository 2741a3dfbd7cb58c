"""What `train.objective` may say: sums of named losses are read as written, anything else is one clear error."""

import pytest

from raylign.config import load_config
from raylign.config.objective import OBJECTIVES, Term, answers_needed, objective_in_words, parse_objective
from raylign.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("apo_zero", [("apo_zero", 1.0)]),
        ("apo_zero + 4·sft", [("apo_zero", 1.0), ("sft", 4.0)]),
        ("apo_zero+4*sft", [("apo_zero", 1.0), ("sft", 4.0)]),
        (" 0.5 * dpo  +  .25 · ipo + sft ", [("dpo", 0.5), ("ipo", 0.25), ("sft", 1.0)]),
        ("1e-2*sft + 1e+1·kto", [("sft", 0.01), ("kto", 10.0)]),
    ],
)
def test_a_sum_is_read_as_it_is_written(text: str, terms: list[tuple[str, float]]) -> None:
    found = parse_objective(text)
    assert found == tuple(Term(name, weight) for name, weight in terms)
    assert parse_objective(objective_in_words(found)) == found


def test_words_leave_out_a_weight_of_one() -> None:
    assert objective_in_words(parse_objective("1.0*apo_zero+0.10*sft")) == "apo_zero + 0.1·sft"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ppo", "there is no loss 'ppo'; allowed: apo_zero, apo_down, dpo, ipo, apo_zero_unpaired, kto, sft"),
        ("apo_zero + 4·stf", "there is no loss 'stf'"),
        ("", "'' is no term of a sum"),
        ("apo_zero +", "'' is no term of a sum"),
        ("apo_zero - 4*sft", "'apo_zero - 4*sft' is no term of a sum"),
        ("4 sft", "'4 sft' is no term of a sum"),
        ("sft*4", "there is no loss '4'"),
        ("apo_zero + four*sft", "'four' weighs sft; a weight is a finite number more than 0"),
        ("apo_zero + 0*sft", "'0' weighs sft"),
        ("-1*sft", "'-1' weighs sft"),
        ("inf*sft", "'inf' weighs sft"),
        ("nan*sft", "'nan' weighs sft"),
        ("sft + dpo + 2*sft", "name each loss once"),
    ],
)
def test_what_is_no_such_sum_is_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_objective(text)
    assert message in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("written", ["train.objective=apo_zero + 4*sft", "train.objective=apo_zero+4·sft"])
def test_a_sum_comes_through_the_command_line(written: str) -> None:
    assert parse_objective(load_config(None, [written]).train.objective) == parse_objective("apo_zero + 4·sft")


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("apo_zero", (True, True)),
        ("kto + dpo", (True, True)),
        ("sft", (True, False)),
        ("kto", (False, False)),
        ("apo_zero_unpaired + sft", (False, False)),
    ],
)
def test_which_rows_an_objective_can_use(text: str, needed: tuple[bool, bool]) -> None:
    assert answers_needed(parse_objective(text)) == needed


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.label_smoothing=0.1"], "train.label_smoothing is 0.1 while train.objective is 'apo_zero + 4·sft'"),
        (["train.desirable_weight=2", "train.objective=ipo"], "only apo_zero_unpaired and kto use it"),
        (
            ["train.label_smoothing=0.5", "train.objective=dpo"],
            "train.label_smoothing is 0.5; it must be less than 0.5",
        ),
        (
            ["train.undesirable_weight=0", "train.objective=kto"],
            "train.undesirable_weight is 0.0; it must be more than 0",
        ),
    ],
)
def test_a_parameter_that_no_loss_uses_or_that_is_out_of_bounds_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, overrides)
    assert message in str(caught.value)


def test_parameters_of_the_objective_are_taken() -> None:
    found = load_config(
        None, ["train.objective=dpo + 0.5*kto", "train.label_smoothing=0.1", "train.desirable_weight=2"]
    )
    assert (found.train.label_smoothing, found.train.desirable_weight) == (0.1, 2.0)


def test_every_loss_is_allowed_alone() -> None:
    for name in OBJECTIVES:
        assert load_config(None, [f"train.objective={name}"]).train.objective == name
