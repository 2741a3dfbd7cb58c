"""What the arguments of an instruction may be, so that a bad input file is found before anything is scored. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from raylign.evaluate.ifeval.text import RELATIONS
from raylign.language import languages


@dataclass(frozen=True)
class Kind:
    """A kind of argument: what is allowed, in words, and the test for it."""

    allowed: str
    accepts: Callable[[object], bool]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest


def _is_words(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_text(word) for word in value)


def _is_character(value: object) -> bool:
    return isinstance(value, str) and len(value) == 1 and not value.isspace()


def _is_language(value: object) -> bool:
    return isinstance(value, str) and value in languages()


COUNT = Kind("a whole number from 0", lambda value: _is_number(value, 0))
POSITION = Kind("a whole number from 1", lambda value: _is_number(value, 1))
TEXT = Kind("a text that is not blank", _is_text)
WORDS = Kind("a list of words, at least one", _is_words)
CHARACTER = Kind("one character", _is_character)
RELATION = Kind(" or ".join(repr(relation) for relation in RELATIONS), lambda value: value in RELATIONS)
LANGUAGE = Kind("a language code that langdetect knows, such as 'de'", _is_language)
