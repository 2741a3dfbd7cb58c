"""The filters between a revision and a pair: each names its objection, or lets the revision pass. Pure."""

import re
from collections.abc import Callable

from raylign.config import PairsConfig
from raylign.pairs.contrast import jaccard
from raylign.records import Revision
from raylign.repetition import repeated_4grams
from raylign.revise.markers import IDENTIFIER

# The identifiers and tags of raylign's own templates, and the control tokens of common chat formats.
_LEAK = re.compile(
    rf"{IDENTIFIER.pattern}|</?(?:task|student_solution)>|<\|\w+\|>|\[/?INST\]|</?s>|<(?:start|end)_of_turn>",
    re.IGNORECASE,
)


def first_objection(revision: Revision, pairs: PairsConfig) -> tuple[str, str] | None:
    """Name and detail of the first configured filter that objects to a parsed revision, or None."""
    for name in pairs.filters:
        if (detail := _FILTERS[name](revision, pairs)) is not None:
            return name, detail
    return None


def _empty(revision: Revision, pairs: PairsConfig) -> str | None:
    return None if revision.revision.strip() else "the revision is empty"


def _cut_off(revision: Revision, pairs: PairsConfig) -> str | None:
    if revision.finish_reason == "length":
        return "the revision reached its token limit"
    if pairs.drop_cut_drafts and revision.answer_cut_off:
        return "the draft reached its token limit"
    return None


def _identical(revision: Revision, pairs: PairsConfig) -> str | None:
    same = revision.revision.split() == revision.answer.split()
    return "draft and revision differ in white space at most" if same else None


def _marker_leak(revision: Revision, pairs: PairsConfig) -> str | None:
    found = _LEAK.search(revision.revision)
    return f"the revision holds {found[0]!r}" if found else None


def _repetitive(revision: Revision, pairs: PairsConfig) -> str | None:
    share = repeated_4grams([revision.revision])
    return f"{share:.0%} of its four-word runs repeat" if share > pairs.max_repeated_4grams else None


def _too_short(revision: Revision, pairs: PairsConfig) -> str | None:
    length = len(revision.revision.strip())
    return f"{length} characters" if length < pairs.min_chosen_characters else None


def _too_long(revision: Revision, pairs: PairsConfig) -> str | None:
    ratio = len(revision.revision) / max(1, len(revision.answer))
    return f"{ratio:.2f} times the draft" if ratio > pairs.max_length_ratio else None


def _contrast(revision: Revision, pairs: PairsConfig) -> str | None:
    similarity = jaccard(revision.revision, revision.answer)
    return None if pairs.min_jaccard <= similarity <= pairs.max_jaccard else f"Jaccard similarity {similarity:.3f}"


_FILTERS: dict[str, Callable[[Revision, PairsConfig], str | None]] = {
    "empty": _empty,
    "cut_off": _cut_off,
    "identical": _identical,
    "marker_leak": _marker_leak,
    "repetitive": _repetitive,
    "too_short": _too_short,
    "too_long": _too_long,
    "contrast": _contrast,
}
