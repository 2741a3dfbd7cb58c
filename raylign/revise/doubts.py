"""Why a text that stands where the answer belongs may not be the answer alone. Pure.

Each rule names something that a wrong split, a wrong wrapping or a reviser that lost its task leaves behind. A rule
that objects to a good answer costs one pair; one that lets a wrong text pass trains a model on it.
"""

import json
import re
import unicodedata

from raylign.revise.fences import ends_inside_code, without_code
from raylign.revise.markers import IDENTIFIER, NAMED_AT_LINE_START

_OTHER_IDENTIFIER = re.compile(r"^ {0,3}[{｛]{1,2}/?(?=\w+?_)\w++[}｝]{1,2}[ \t]*+[:：]?[ \t]*+$", re.MULTILINE)
_REQUEST_TAG = re.compile(r"</?student_solution>", re.IGNORECASE)
_LABEL = re.compile(
    r"[#*_\s]*+(?:the |my )?(?:corrected|improved|revised|updated|enhanced)[ _](?:student(?:['’]s|s['’])?[ _])?"
    r"(?:solution|student answer|student response)[*_:：\s]*+",
    re.IGNORECASE,
)
_REMARKS = (
    r"none|n/?a|unchanged",
    r"(?:please )?(?:see|refer to) (?:the )?(?:\w+ ){0,2}above",
    r"(?:(?:the )?same )?as above|(?:the )?same as (?:above|before)",
    r"no (?:further )?(?:changes?|corrections?)(?: (?:(?:is|are|was|were) )?(?:needed|necessary|required|made))?",
    r"(?:(?:the|your) )?(?:\w+ )?(?:student )?(?:answer|solution) (?:goes )?here",
)
_REMARK = re.compile(rf"\W*+(?:{'|'.join(_REMARKS)})\W*+", re.IGNORECASE)
_JUDGEMENT = re.compile(
    r"\W*+(?:the|this|your) student['’]s (?:\w+ )?(?:solution|answer|response|draft)\b", re.IGNORECASE
)
_CHANGES = r"(?:changes|corrections|improvements|edits)"
_CHANGE_TITLES = (
    r"what i (?:have )?changed",
    rf"(?:an? )?(?:\w+ )?(?:explanation|summary|list|overview) of (?:the )?(?:\w+ )?{_CHANGES}",
    rf"(?:\w+ )?{_CHANGES} (?:i )?made",
    r"changes|corrections",
)
_CHANGE_NOTE = re.compile(
    rf"^[#*_>\- \t]*+(?:{'|'.join(_CHANGE_TITLES)})[*_ \t]*+(?:[:：]|(?<=[*_])$)", re.IGNORECASE | re.MULTILINE
)
_BROKEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffd]")
_YAML_BLOCK = re.compile(r"[|>][+-]?\d?[ \t]*\n")
_RULE_EDGE = re.compile(r"\A(?:-{3,}|={3,}|\*{3,}|_{3,})[ \t]*(?:\n|\Z)|\n(?:-{3,}|={3,}|\*{3,}|_{3,})\Z")
_QUOTED = re.compile(r"(['\"]).*\1,?", re.DOTALL)
_NEUTRAL_WRAP = re.compile(
    r"<(answer|response|solution|output|result|text|reply|revision)>.*</\1>", re.DOTALL | re.IGNORECASE
)
_LAST_TAG = re.compile(r"</([A-Za-z][\w-]*)>\Z")
_HALVES = (("{", "}"), ("[", "]"), ("<", ">"))


def is_blank(text: str) -> bool:
    """Whether nothing in the text is a letter, a number or a pictorial symbol."""
    return not any(
        unicodedata.category(character) == "So" or unicodedata.category(character)[0] in "LN" for character in text
    )


def is_broken(text: str) -> bool:
    """Whether the text holds control characters, half a surrogate pair, or the sign for what could not be decoded."""
    return _BROKEN.search(text) is not None


def doubtful_words(answer: str) -> str:
    """What in an answer's words says that it is not the answer alone; empty if nothing does."""
    visible = "".join(character for character in answer if unicodedata.category(character) != "Cf")
    prose = without_code(visible)
    if IDENTIFIER.search(visible) or NAMED_AT_LINE_START.search(visible):
        return "an identifier is named inside the answer"
    if _OTHER_IDENTIFIER.search(prose):
        return "an identifier that was not asked for stands inside the answer"
    if _REQUEST_TAG.search(visible):
        return "a tag of the request stands inside the answer"
    if _LABEL.fullmatch(visible.partition("\n")[0]):
        return "the answer starts with a title that calls it corrected"
    if _CHANGE_NOTE.search(prose):
        return "the answer lists what was changed"
    if _JUDGEMENT.match(visible):
        return "what stands in place of the answer judges the student's"
    if _REMARK.fullmatch(visible):
        return "a remark stands in place of the answer"
    return ""


def doubtful_bounds(answer: str, rationale: str, wrapped: bool) -> str:
    """What at an answer's edges says that a part of its wrapping, or not all of the answer, is there.

    Args:
        wrapped: An identifier's own bracket is still open, so that a part may end with its other half.
    """
    if wrapped and (answer.endswith(("}", ">", "]")) or rationale.endswith(("}", ">", "]"))):
        return "an identifier has an open bracket that its part may close"
    if any(_stands_in(answer, *halves) for halves in _HALVES):
        return "the answer stands in brackets" if not answer.startswith("{") else "the answer stands in braces"
    if _YAML_BLOCK.match(answer) or answer.startswith(('"""', "'''")):
        return "the answer starts with a sign of a data format"
    if answer.startswith((":", "：")) and not answer[1:2].isalnum():
        return "the answer starts with a colon"
    if _QUOTED.fullmatch(answer) and (answer.endswith(",") or _QUOTED.fullmatch(rationale)):
        return "the parts stand in quotation marks"
    if _RULE_EDGE.search(answer):
        return "the answer starts or ends with a rule that may be a heading's"
    if _NEUTRAL_WRAP.fullmatch(answer):
        return "the answer stands in a tag"
    last = _LAST_TAG.search(answer)
    if last and not re.search(rf"<{re.escape(last[1])}[\s>]", answer):
        return "the answer ends a tag that opens outside it"
    if ends_inside_code(answer):
        return "a code block in the answer does not end"
    return ""


def _stands_in(answer: str, opening: str, closing: str) -> bool:
    """Whether one bracket may hold the whole answer; JSON is taken as an answer in itself."""
    if not (answer.startswith(opening) and answer.endswith(closing)):
        return False
    if opening != "{" and answer.count(opening) > 1:
        return False  # several tags, or a list of lists
    try:
        json.loads(answer)
    except (ValueError, RecursionError):
        return True
    return False
