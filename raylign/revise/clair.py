"""Splits a `clair` reply written as text into rationale and revision. Pure.

The template asks for two parts, each after an identifier that the paper uses (arXiv 2408.06266, section 3 and its
notebook). Accepted are the spellings that leave no doubt where the revision starts and ends. The parts come without
outer white space and without a rule (`---`) that merely sets them apart.
"""

import re

from raylign.refusal import refusal_in
from raylign.revise.doubts import doubtful_bounds, doubtful_words, is_blank
from raylign.revise.fences import ends_inside_code, inside_outer_fence
from raylign.revise.markers import OPENS_ANSWER_ELSEWHERE, Marker, find_markers
from raylign.revise.parsed import Parsed, unparsed
from raylign.revise.reasons import Reason

_ORDER = re.compile(r"(rR?)?aA?|aA?rR?")
_INVISIBLE = "\u200b\u2060\ufeff"
_RULE = r"(?:-{3,}|\*{3,}|_{3,})"
_RULE_BEFORE = re.compile(rf"\A{_RULE}[ \t]*\n[ \t]*\n")
_RULE_AFTER = re.compile(rf"\n[ \t]*\n{_RULE}\Z")


def parse_clair(reply: str) -> Parsed:
    """Split a whole reply into rationale and revision."""
    trimmed = _trim(reply)
    inside = inside_outer_fence(trimmed)
    markers = find_markers(inside)
    if markers and not inside[: markers[0].start].strip():
        text = _trim(inside)
        markers = find_markers(text)
    else:
        text, markers = trimmed, find_markers(trimmed)
    if not markers and refusal_in(text):
        return Parsed(Reason.REFUSED, detail="the reply declines")
    if problem := _doubtful_order(text, markers) or _doubtful_place(text, markers):
        return unparsed(problem)
    rationale, revision = _part(text, markers, "r"), _part(text, markers, "a")
    if not any(marker.kind == "r" for marker in markers):
        rationale = _without_rules(text[: markers[0].start])
    if is_blank(revision):
        return Parsed(Reason.EMPTY, rationale=rationale, detail="nothing follows the answer's identifier")
    wrapped = any(marker.wrapped for marker in markers)
    if problem := doubtful_words(revision) or doubtful_bounds(revision, rationale, wrapped):
        return unparsed(problem)
    return Parsed(Reason.OK, revision, rationale)


def _doubtful_order(text: str, markers: list[Marker]) -> str:
    """Why the identifiers do not make two clear parts; empty if they do."""
    order = "".join(marker.kind for marker in markers)
    if "a" not in order:
        return "no identifier stands before the answer"
    if not _ORDER.fullmatch(order):
        return "an identifier is repeated or out of place"
    answer = markers[order.index("a")]
    reasoning = markers[order.index("r")] if "r" in order else None
    if not answer.strong and (reasoning is None or reasoning.strong or reasoning.style != answer.style):
        return "the answer's identifier may be prose"
    if answer.strong and reasoning is not None and not reasoning.strong and reasoning.start > answer.start:
        return "the identifier after the answer may be a part of it"
    ends = [*(marker.start for marker in markers[1:]), len(text)]
    if any(marker.kind.isupper() and text[marker.end : end].strip() for marker, end in zip(markers, ends, strict=True)):
        return "text stands outside the two parts"
    return ""


def _doubtful_place(text: str, markers: list[Marker]) -> str:
    """Why the answer's identifier may not be where the answer starts; empty if nothing says so."""
    answer = next(marker for marker in markers if marker.kind == "a")
    before = text[: answer.start]
    if ends_inside_code(before) or ends_inside_code(text[: markers[0].start]):
        return "an identifier is inside a code block"
    if text[: markers[0].start].rstrip().endswith(("{", "[", "(")):
        return "the two parts stand inside a bracket"
    first = text[answer.end :].lstrip()[:1]
    line_above = before[:-1].rstrip(" \t")[-1:] if before.endswith("\n") else ""
    if (line_above.isalpha() or line_above == ",") and (answer.inline or first.islower()):
        return "the answer's identifier stands in the middle of a sentence"
    spans = zip([0, *(marker.end for marker in markers)], [marker.start for marker in markers], strict=False)
    if any(OPENS_ANSWER_ELSEWHERE.search(text[start:end]) for start, end in spans if end <= answer.start):
        return "the answer's identifier opens a line of the reasoning as well"
    return ""


def _part(text: str, markers: list[Marker], kind: str) -> str:
    """The text between the marker of this kind and the next one; empty without one."""
    for marker, following in zip(markers, [*markers[1:], None], strict=True):
        if marker.kind == kind:
            return _without_rules(text[marker.end : following.start if following else len(text)])
    return ""


def _without_rules(part: str) -> str:
    """The part without a rule, set off by an empty line, at its start or end."""
    return _trim(_RULE_AFTER.sub("", _RULE_BEFORE.sub("", _trim(part))))


def _trim(text: str) -> str:
    """The text without white space and invisible marks around it."""
    return text.strip().strip(_INVISIBLE).strip()
