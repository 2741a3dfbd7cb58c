"""How far a chosen answer is from its rejected one. Pure.

Contrast is what CLAIR is about (arXiv 2408.06266, section 2): a pair should differ only where it matters.
"""

import re
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein, Prefix

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|[^\w\s]")
"""A word or a single punctuation mark. It is no model's tokenizer, so that runs of different models compare."""


@dataclass(frozen=True)
class Contrast:
    """The contrast metrics of one pair."""

    jaccard: float
    """Words in both over words in either, 0 to 1; words compare without case, each counts once."""
    levenshtein: float
    """Character edits over the longer length, 0 (same) to 1."""
    length_ratio: float
    """Characters of chosen over characters of rejected."""
    shared_prefix: int
    """Tokens, words and single punctuation marks in their case, that both start with before they first differ."""


def contrast(chosen: str, rejected: str) -> Contrast:
    """The contrast of two answers; `rejected` must not be empty."""
    return Contrast(
        jaccard=jaccard(chosen, rejected),
        levenshtein=levenshtein(chosen, rejected),
        length_ratio=len(chosen) / len(rejected),
        shared_prefix=shared_prefix(chosen, rejected),
    )


def jaccard(first: str, second: str) -> float:
    """Jaccard similarity of two texts' sets of words; 1 for two texts without any word."""
    words, others = (set(_WORD.findall(text.casefold())) for text in (first, second))
    return len(words & others) / len(words | others) if words or others else 1.0


def levenshtein(first: str, second: str) -> float:
    """Character edits between two texts over the longer length, 0 (same) to 1."""
    return Levenshtein.normalized_distance(first, second)


def shared_prefix(first: str, second: str) -> int:
    """Tokens, words and single punctuation marks in their case, that two texts both start with."""
    return Prefix.similarity(_TOKEN.findall(first), _TOKEN.findall(second))
