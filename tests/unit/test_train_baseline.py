"""The KL baseline of KTO: answers to other prompts, and their mean log-ratio."""

import math

import pytest

from raylign.errors import InputError
from raylign.train.baseline import mismatched, z_ref
from raylign.train.tokens import TokenPair


def pair(name: str, prompt: tuple[int, ...], chosen: tuple[int, ...] = (), rejected: tuple[int, ...] = ()) -> TokenPair:
    return TokenPair(name, prompt, chosen, rejected)


def test_each_prompt_gets_the_answers_of_the_one_before_it() -> None:
    """As in TRL, which turns the answers of a batch round by one."""
    pairs = [pair("a", (1,), (11,)), pair("b", (2,), (12,)), pair("c", (3,), (), (13,))]
    found = mismatched(pairs)
    assert [(one.prompt_ids, one.chosen_ids, one.rejected_ids) for one in found] == [
        ((1,), (), (13,)),
        ((2,), (11,), ()),
        ((3,), (12,), ()),
    ]
    assert len({one.id for one in (*pairs, *found)}) == 6, "their log-probabilities are kept by id"


def test_an_answer_to_the_same_prompt_is_no_mismatch() -> None:
    pairs = [pair("a", (1,), (11,)), pair("b", (1,), (), (12,)), pair("c", (2,), (13,)), pair("d", (2,), (14,))]
    assert [one.chosen_ids or one.rejected_ids for one in mismatched(pairs)] == [(14,), (14,), (12,), (12,)]


def test_no_mismatch_is_longer_than_the_longest_pair() -> None:
    pairs = [pair("a", (1,) * 6, (11,)), pair("b", (2,), (12,) * 5, (13,) * 7)]
    first, second = mismatched(pairs)
    assert (first.chosen_ids, first.rejected_ids) == ((12, 12), (13, 13))  # 6 + 2 = 1 + 7
    assert second.chosen_ids == (11,)


def test_without_another_prompt_there_is_no_baseline() -> None:
    with pytest.raises(InputError, match=r"all 2 pairs have the same prompt.*apo_zero_unpaired"):
        mismatched([pair("a", (1,), (11,)), pair("b", (1,), (12,))])


def test_the_baseline_is_the_mean_over_the_answers_that_are_there() -> None:
    """(+1) and (+2) of a, (−1.5) of b: 1.5 / 3 = 0.5; a pair weighs as its two answers."""
    pairs = [pair("a", (1,), (11,), (12,)), pair("b", (2,), (), (13,))]
    policy, reference = {"a": (-4.0, -6.0), "b": (0.0, -9.5)}, {"a": (-5.0, -8.0), "b": (0.0, -8.0)}
    assert z_ref(pairs, policy, reference) == pytest.approx(0.5)


def test_the_baseline_is_never_negative() -> None:
    """A KL divergence is not, though its estimate from answers of others can be."""
    assert z_ref([pair("a", (1,), (11,))], {"a": (-6.0, 0.0)}, {"a": (-5.0, 0.0)}) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_baseline_that_is_no_number_is_not_taken_for_none(bad: float) -> None:
    assert math.isnan(z_ref([pair("a", (1,), (11,))], {"a": (bad, 0.0)}, {"a": (-5.0, 0.0)}))
