"""Checks of language and letter case: `language` and `change_case`. Pure.

A text that has no letters to judge by (digits, a bare address) counts as being in any language, as published.
"""

from raylign.evaluate.ifeval.text import count_capital_words, meets
from raylign.language import language_of


def response_language(response: str, *, language: str) -> bool:
    """The response as a whole is in the language."""
    return language_of(response) in (language, None)


def english_capital(response: str) -> bool:
    """English without a single lower-case letter."""
    return response.isupper() and language_of(response) in ("en", None)


def english_lowercase(response: str) -> bool:
    """English without a single capital letter."""
    return response.islower() and language_of(response) in ("en", None)


def capital_word_frequency(response: str, *, capital_frequency: int, capital_relation: str) -> bool:
    """Words in capitals, as `count_capital_words` counts them, occur less than / at least so often."""
    return meets(count_capital_words(response), capital_relation, capital_frequency)
