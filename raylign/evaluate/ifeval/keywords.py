"""Checks of single words and characters: `keywords` and `punctuation`. Pure.

Keywords are taken literally. The published scorer reads them as regular expressions; its public prompts name only
plain words, where both agree.
"""

import re
from collections.abc import Sequence

from raylign.evaluate.ifeval.text import meets


def existence(response: str, *, keywords: Sequence[str]) -> bool:
    """Every keyword occurs, in any case, also as a part of a longer word."""
    return all(_occurrences(keyword, response) for keyword in keywords)


def frequency(response: str, *, keyword: str, frequency: int, relation: str) -> bool:
    """The keyword occurs less than / at least `frequency` times, in any case, parts of longer words counted."""
    return meets(_occurrences(keyword.strip(), response), relation, frequency)


def forbidden_words(response: str, *, forbidden_words: Sequence[str]) -> bool:
    """No forbidden word occurs, in any case; as a part of a longer word it may."""
    return not any(re.search(rf"\b{re.escape(word)}\b", response, re.IGNORECASE) for word in forbidden_words)


def letter_frequency(response: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    """One character, which may be a sign such as "!", occurs less than / at least so often, in any case."""
    return meets(response.lower().count(letter.lower()), let_relation, let_frequency)


def no_comma(response: str) -> bool:
    """There is no ASCII comma; those of other scripts are allowed."""
    return "," not in response


def _occurrences(keyword: str, response: str) -> int:
    return len(re.findall(re.escape(keyword), response, re.IGNORECASE))
