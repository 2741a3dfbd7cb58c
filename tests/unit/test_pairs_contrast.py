"""Contrast metrics against values worked out by hand."""

import pytest

from raylign.pairs.contrast import contrast, jaccard


def test_hand_worked_values() -> None:
    """Words {the, cat, sat} and {the, cat, ran}: 2 of 4 shared. `sat` to `ran` is two letters of eleven."""
    found = contrast("The cat sat", "the cat ran")
    assert found.jaccard == pytest.approx(2 / 4)
    assert contrast("the cat sat", "the cat ran").levenshtein == pytest.approx(2 / 11)
    assert contrast("abc", "abcdef").length_ratio == pytest.approx(0.5)


def test_extremes() -> None:
    same = contrast("All of it.", "All of it.")
    assert (same.jaccard, same.levenshtein, same.length_ratio) == (1.0, 0.0, 1.0)
    other = contrast("xyz", "abc")
    assert (other.jaccard, other.levenshtein) == (0.0, 1.0)
    assert contrast("", "abc").levenshtein == 1.0


@pytest.mark.parametrize(
    ("chosen", "rejected", "tokens"),
    [
        ("The sky is blue.", "The sky is grey.", 3),
        ("The sky is blue.", "The sky is blue, mostly.", 4),
        ("Yes, it is.", "Yes,  it\nis not.", 4),  # white space is no token: Yes | , | it | is
        ("the sky", "The sky", 0),
        ("Well... no", "Well.. no", 3),
        ("It is.", "It is.", 3),
        ("", "It is.", 0),
    ],
)
def test_shared_prefix_counts_words_and_marks_up_to_the_first_difference(
    chosen: str, rejected: str, tokens: int
) -> None:
    assert contrast(chosen, rejected).shared_prefix == tokens


def test_repeats_punctuation_and_case_do_not_change_jaccard() -> None:
    assert jaccard("Yes, yes, YES!", "yes") == 1.0
    assert jaccard("...", "!") == 1.0
    assert jaccard("straße", "STRASSE") == 1.0
