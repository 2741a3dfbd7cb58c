"""The collapse guards on answers whose figures can be counted by hand."""

import pytest

from raylign.evaluate.guards import empty_share, ended_share, mean_token_logprob
from raylign.repetition import repeated_4grams


def test_repetition_counted_by_hand() -> None:
    """'a b a b a b a' has four runs: abab, baba, abab, baba; two distinct, so 1 − 2/4."""
    assert repeated_4grams(["a b a b a b a"]) == pytest.approx(0.5)


def test_repetition_is_weighed_by_words_not_by_answers() -> None:
    """2 of 4 runs distinct in the loop, 6 of 6 in the other: 1 − 8/10; a mean over answers would say 0.25."""
    assert repeated_4grams(["a b a b a b a", "one two three four five six seven eight nine"]) == pytest.approx(0.2)


def test_a_phrase_that_two_answers_share_is_no_repetition() -> None:
    assert repeated_4grams(["the capital of France is Paris", "the capital of France is old"]) == 0.0


def test_a_loop_is_seen_through_case_and_line_breaks() -> None:
    assert repeated_4grams(["Yes I do so\nyes i do so\nYES I DO SO"]) == pytest.approx(1 - 4 / 9)


@pytest.mark.parametrize("answers", [[], [""], ["two words"], ["", "one two three"]])
def test_short_answers_have_nothing_to_repeat(answers: list[str]) -> None:
    assert repeated_4grams(answers) == 0.0


def test_a_collapsed_model_scores_near_one() -> None:
    assert repeated_4grams(["no " * 200]) > 0.99


def test_empty_share_counts_white_space_as_empty() -> None:
    assert empty_share(["", " \n", "a", "b"]) == 0.5
    assert empty_share([]) == 0.0


def test_ended_share_counts_only_answers_the_model_ended() -> None:
    assert ended_share(["stop", "length", "stop", "content_filter"]) == 0.5
    assert ended_share([]) == 0.0


def test_logprob_is_a_mean_over_tokens() -> None:
    """(−2 − 12) / (2 + 4): a mean of the two answers' means would be −2."""
    assert mean_token_logprob([-2.0, -12.0], [2, 4]) == pytest.approx(-14 / 6)
    assert mean_token_logprob([0.0], [0]) is None
