"""The filters before a pair: each names its objection to a chosen answer, or lets it pass. Pure.

A filter here sees one chosen answer, as a revision of the rejected one whatever its source; `near_duplicate`, which
compares all prompts, is in `raylign.pairs.near_duplicates`.
"""

import re
from collections.abc import Callable

from raylign.config import PairsConfig
from raylign.language import clear_language_of, names_language
from raylign.pairs.allusion import allusion_in
from raylign.pairs.contrast import jaccard, levenshtein, shared_prefix
from raylign.records import Revision
from raylign.refusal import refusal_in
from raylign.repetition import repeated_4grams
from raylign.revise.markers import IDENTIFIER

# The identifiers and tags of raylign's own templates, and the control tokens of common chat formats.
_LEAK = re.compile(
    rf"{IDENTIFIER.pattern}|</?(?:task|student_solution)>|<\|\w+\|>|\[/?INST\]|</?s>|<(?:start|end)_of_turn>",
    re.IGNORECASE,
)
_SAME_LANGUAGE = 0.5
"""Texts that share half of their words are in one language: it spares the detector most minimal revisions."""


def first_objection(revision: Revision, pairs: PairsConfig) -> tuple[str, str] | None:
    """Name and detail of the first configured filter that objects to a parsed revision by itself, or None."""
    for name in pairs.filters:
        if name != "near_duplicate" and (detail := _FILTERS[name](revision, pairs)) is not None:
            return name, detail
    return None


def _empty(revision: Revision, pairs: PairsConfig) -> str | None:
    return None if revision.revision.strip() else "the chosen answer is empty"


def _cut_off(revision: Revision, pairs: PairsConfig) -> str | None:
    if revision.finish_reason == "length":
        return "the chosen answer reached its token limit"
    if pairs.drop_cut_drafts and revision.answer_cut_off:
        return "the rejected answer reached its token limit"
    return None


def _identical(revision: Revision, pairs: PairsConfig) -> str | None:
    same = revision.revision.split() == revision.answer.split()
    return "chosen and rejected differ in white space at most" if same else None


def _marker_leak(revision: Revision, pairs: PairsConfig) -> str | None:
    found = _LEAK.search(revision.revision)
    return f"the chosen answer holds {found[0]!r}" if found else None


def _alludes(revision: Revision, pairs: PairsConfig) -> str | None:
    found = allusion_in(revision.revision, revision.answer, revision.messages)
    return f"it speaks of being a revision: {found!r}" if found else None


def _refusal(revision: Revision, pairs: PairsConfig) -> str | None:
    found = refusal_in(revision.revision)
    return (
        f"it declines and the rejected answer does not: {found!r}"
        if found and not refusal_in(revision.answer)
        else None
    )


def _repetitive(revision: Revision, pairs: PairsConfig) -> str | None:
    share = repeated_4grams([revision.revision])
    return f"{share:.0%} of its four-word runs repeat" if share > pairs.max_repeated_4grams else None


def _too_short(revision: Revision, pairs: PairsConfig) -> str | None:
    length = len(revision.revision.strip())
    if length < pairs.min_chosen_characters:
        return f"{length} characters"
    ratio = _length_ratio(revision)
    return f"{ratio:.2f} times the rejected answer" if ratio < pairs.min_length_ratio else None


def _too_long(revision: Revision, pairs: PairsConfig) -> str | None:
    ratio = _length_ratio(revision)
    return f"{ratio:.2f} times the rejected answer" if ratio > pairs.max_length_ratio else None


def _length_ratio(revision: Revision) -> float:
    return len(revision.revision) / max(1, len(revision.answer))


def _jaccard(revision: Revision, pairs: PairsConfig) -> str | None:
    value = jaccard(revision.revision, revision.answer)
    return _outside("Jaccard similarity", value, pairs.min_jaccard, pairs.max_jaccard)


def _levenshtein(revision: Revision, pairs: PairsConfig) -> str | None:
    value = levenshtein(revision.revision, revision.answer)
    return _outside("Levenshtein distance", value, pairs.min_levenshtein, pairs.max_levenshtein)


def _shared_prefix(revision: Revision, pairs: PairsConfig) -> str | None:
    value = shared_prefix(revision.revision, revision.answer)
    return _outside("shared prefix in tokens", value, pairs.min_shared_prefix, pairs.max_shared_prefix)


def _outside(metric: str, value: float, low: float, high: float | None) -> str | None:
    if value < low:
        return f"{metric} {value:.4g}, at least {low:g} is wanted"
    return f"{metric} {value:.4g}, at most {high:g} is wanted" if high is not None and value > high else None


def _language_change(revision: Revision, pairs: PairsConfig) -> str | None:
    """Another language than the draft's, unless it is the prompt's own or one that the prompt names."""
    if jaccard(revision.revision, revision.answer) >= _SAME_LANGUAGE:
        return None
    old, new = clear_language_of(revision.answer), clear_language_of(revision.revision)
    if old is None or new is None or old == new:
        return None
    asked = [message["content"] for message in revision.messages if message["role"] != "assistant"]
    if clear_language_of(asked[-1]) == new or any(names_language(text, new) for text in asked):
        return None
    return f"the rejected answer is in {old!r} and the chosen one in {new!r}"


_FILTERS: dict[str, Callable[[Revision, PairsConfig], str | None]] = {
    "empty": _empty,
    "cut_off": _cut_off,
    "identical": _identical,
    "marker_leak": _marker_leak,
    "alludes": _alludes,
    "refusal": _refusal,
    "repetitive": _repetitive,
    "too_short": _too_short,
    "too_long": _too_long,
    "jaccard": _jaccard,
    "levenshtein": _levenshtein,
    "shared_prefix": _shared_prefix,
    "language_change": _language_change,
}
