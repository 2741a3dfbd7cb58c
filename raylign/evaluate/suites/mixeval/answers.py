"""Compares a free-form answer with the known right ones, by rules; where it settles on none it is unparsed. Pure."""

import re
import unicodedata
from collections.abc import Sequence

_MARKED = re.compile(r"(?im)^[\s*_#>`]*(?:final\s+)?answer[\s*_]*[:：]\s*(?P<answer>.+?)\s*$")
_STATED = re.compile(r"(?i)\banswer\s+is\s*:?\s*(?P<answer>[^\n]+)")
_BOXED = re.compile(r"\\boxed\{(?P<answer>(?:[^{}]|\{[^{}]*\})*)\}")
_HASHED = re.compile(r"####\s*(?P<answer>[^\n]+)")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NUMBER = re.compile(r"[-+−]?\$?\d[\d,]*(?:\.\d+)?%?|[-+−]?\.\d+")
_LATEX = (
    (re.compile(r"\\(?:!|,|;|:| )"), ""),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\\left|\\right|\\\$"), ""),
)
_BRIEF_WORDS = 12
"""An answer of at most so many words is one as a whole."""


def score_answer(answer: str, targets: Sequence[str]) -> float | None:
    """1.0 where an answer equals one of the targets, 0.0 where it is another one, None where it settles on none.

    Case, punctuation, articles, LaTeX spacing and a number's form do not count. What is marked as the answer is
    compared, the last mark before others; without a mark a brief answer as a whole. A longer one is not searched for a
    target: it may name it and mean another.
    """
    settled = settled_on(answer)
    if settled is None:
        return None
    known = {form for target in targets for form in _forms(_last_mark(target) or target)}
    return float(bool(_forms(settled) & known))


def settled_on(answer: str) -> str | None:
    """What an answer gives as its answer, or None."""
    text = unicodedata.normalize("NFKC", answer).strip()
    if not text:
        return None
    if marked := _last_mark(text):
        return marked
    return text if len(text.split()) <= _BRIEF_WORDS else None


def _last_mark(text: str) -> str | None:
    for pattern in (_MARKED, _HASHED, _BOXED, _STATED):
        if found := list(pattern.finditer(text)):
            said = found[-1]["answer"].strip()
            inner = _BOXED.search(said)
            return (inner["answer"] if inner else said) or None
    return None


def _forms(text: str) -> set[str]:
    """What a text may equal another one in: its words, and the number where it is one, with at most a unit."""
    for pattern, by in _LATEX:
        text = pattern.sub(by, text)
    text = unicodedata.normalize("NFKC", text).casefold().replace("−", "-").strip().strip("$").strip()
    forms = {_words(text)} - {""}
    numbers = _NUMBER.findall(text)
    if len(numbers) == 1 and len(text.split()) <= 3:
        forms.add(_number(numbers[0]))
    return forms


def _words(text: str) -> str:
    kept = re.sub(r"[^\w\s%/\\^{}+=<>.-]", " ", text)
    kept = re.sub(r"\.(?=\s|$)", " ", kept)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def _number(text: str) -> str:
    return f"number {float(re.sub(r'[^0-9.+-]', '', text)):.10g}"
