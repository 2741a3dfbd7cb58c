"""From a reviser's reply to the revision in it, or a typed reason why there is none. Pure.

The `clair` template asks for two parts, each after an identifier that the paper uses (arXiv 2408.06266, section 3
and its notebook). Models spell the identifiers in many ways; the spellings read here are those that leave no doubt
where the revision starts and ends. Everything else is `unparsed`: a wrong text must never become a chosen answer.
"""

import json
import re
from dataclasses import dataclass

from raylign.refusal import refusal_in
from raylign.revise.reasons import Reason


@dataclass(frozen=True)
class Parsed:
    """The parts of a reply; `revision` is empty unless status is `ok`."""

    status: Reason
    revision: str = ""
    rationale: str = ""
    detail: str = ""


@dataclass(frozen=True)
class _Marker:
    """An identifier at the start of a line."""

    kind: str
    """`r` opens the reasoning and `a` the answer; `R` and `A` end them, as </corrected_student_solution> does."""
    strong: bool
    """Spelled with its underscores or a bracket, so it can hardly be prose."""
    wrapped: bool
    """Its bracket is still open at the end, so the part may end with the other bracket."""
    start: int
    end: int


_UNDERSCORE = r"(?:\\?_|[ \-])"
_NAMES = rf"teacher{_UNDERSCORE}reasoning|corrected{_UNDERSCORE}student{_UNDERSCORE}solution"
IDENTIFIER = re.compile(r"teacher\\?_reasoning|corrected\\?_student\\?_solution", re.IGNORECASE)
"""An identifier named anywhere, in the spelling that no prose has."""

# What may follow the name: a colon, the bracket's other half and the end of the decoration, in their usual orders.
_MARKER = re.compile(
    rf"""^[ \t]*(?P<heading>\#{{1,6}}[ \t]*)?
    (?P<decoration>\*{{1,3}}|__|`)?[ \t]*     # bold, italic or code
    (?P<open>(?:\\?[{{<\[]){{1,2}})?[ \t]*(?P<closing>/?)[ \t]*
    (?P<name>{_NAMES})(?![A-Za-z0-9]|_[A-Za-z0-9])[ \t]*
    (?P<inner>(?(open)[:：]?))[ \t]*(?P<close>(?:\\?[}}>\]]){{0,2}})[ \t]*(?P<colon>[:：]?)[ \t]*
    (?(decoration)(?P=decoration)[ \t]*(?P<late>[:：]?)[ \t]*)""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_ORDER = re.compile(r"(rR?)?aA?|aA?rR?")
_WHOLE = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence", ""})
"""Finish reasons of a reply that its model ended itself."""
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_THOUGHT_TAG = re.compile(r"\A\s*<think>|</think>")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def parse_reply(template: str, reply: str, finish_reason: str, refusal: str = "") -> Parsed:
    """Read a reply to the template of this name.

    Args:
        finish_reason: Why the endpoint says the reply ended; `length` makes it `cut_off`.
        refusal: The endpoint's separate refusal message, where it gave one.
    """
    if finish_reason == "content_filter" or refusal:
        return Parsed(Reason.REFUSED, detail=refusal or "stopped by the provider's content filter")
    if not reply.strip():
        return Parsed(Reason.EMPTY, detail=f"finish_reason {finish_reason}")
    if finish_reason.lower() not in _WHOLE:
        return Parsed(Reason.CUT_OFF, detail=f"the reply is not whole: finish_reason {finish_reason}")
    text = _THOUGHTS.sub("", reply.replace("\r\n", "\n"), count=1).strip()
    if _THOUGHT_TAG.search(text):
        return _unparsed("thoughts that do not open at the start, or do not end")
    if not text:
        return Parsed(Reason.EMPTY, detail="nothing follows the thoughts")
    return parse_clair(text) if template == "clair" else Parsed(Reason.OK, revision=text)


def parse_clair(reply: str) -> Parsed:
    """Split a whole `clair` reply into rationale and revision."""
    text = _without_outer_fence(reply.strip())
    markers = _merged(text, _find_markers(text))
    if not markers and refusal_in(text):
        return Parsed(Reason.REFUSED, detail="the reply declines")
    if problem := _doubtful_order(text, markers):
        return _unparsed(problem)
    revision, answer = _part(text, markers, "a")
    rationale, reasoning = _part(text, markers, "r")
    if reasoning is None:
        rationale = text[: answer.start].strip() if answer else ""
    if not revision:
        return Parsed(Reason.EMPTY, rationale=rationale, detail="nothing follows the answer's identifier")
    if problem := _doubtful_answer(revision, wrapped=answer is not None and answer.wrapped):
        return _unparsed(problem)
    return Parsed(Reason.OK, revision, rationale)


def _unparsed(detail: str) -> Parsed:
    return Parsed(Reason.UNPARSED, detail=detail)


def _without_outer_fence(text: str) -> str:
    """Take off a code fence around the whole reply, if its inside has whole fences only."""
    lines = text.split("\n")
    if len(lines) < 3 or not re.fullmatch(r"```\w*", lines[0].strip()) or lines[-1].strip() != "```":
        return text
    inside = "\n".join(lines[1:-1])
    starts_with_marker = _MARKER.match(inside.lstrip()) is not None
    return inside.strip() if starts_with_marker and len(_FENCE.findall(inside)) % 2 == 0 else text


def _find_markers(text: str) -> list[_Marker]:
    return [marker for match in _MARKER.finditer(text) if (marker := _read_marker(text, match)) is not None]


def _read_marker(text: str, match: re.Match[str]) -> _Marker | None:
    """The marker of a match, or None where the line rather speaks about the identifier."""
    bracketed = bool(match["open"] or match["close"])
    colon = bool(match["inner"] or match["colon"] or match["late"])
    following = text[match.end() : match.end() + 1]
    # Behind a colon anything may start; on the same line without one, prose would go on in lower case or punctuation.
    starts_here = colon or following in ("", "\n") or (bracketed and following.isalnum() and not following.islower())
    strong = bracketed or "_" in match["name"]
    if not starts_here or not (strong or colon or match["heading"] or match["decoration"]):
        return None
    kind = "r" if match["name"].lower().startswith("teacher") else "a"
    return _Marker(
        kind=kind.upper() if match["closing"] else kind,
        strong=strong,
        wrapped=bool(match["open"]) and not match["close"],
        start=match.start(),
        end=match.end(),
    )


def _merged(text: str, markers: list[_Marker]) -> list[_Marker]:
    """One marker for each run of the same marker with nothing between (an identifier and a heading of its name)."""
    kept: list[_Marker] = []
    for marker in markers:
        last = kept[-1] if kept else None
        if last is not None and last.kind == marker.kind and not text[last.end : marker.start].strip():
            strong = last.strong or marker.strong
            kept[-1] = _Marker(marker.kind, strong, marker.wrapped, last.start, marker.end)
        else:
            kept.append(marker)
    return kept


def _doubtful_order(text: str, markers: list[_Marker]) -> str:
    """Why the markers leave a doubt about where the answer is; empty if they leave none."""
    order = "".join(marker.kind for marker in markers)
    if "a" not in order:
        return "no identifier before the answer"
    if not _ORDER.fullmatch(order):
        return "an identifier is repeated or out of place"
    answer = markers[order.index("a")]
    if not answer.strong and "r" not in order:
        return "the answer's identifier may be prose"
    if len(_FENCE.findall(text[: answer.start])) % 2:
        return "the answer's identifier is inside a code block"
    ends = [*(marker.start for marker in markers[1:]), len(text)]
    if any(marker.kind.isupper() and text[marker.end : end].strip() for marker, end in zip(markers, ends, strict=True)):
        return "text stands outside the two parts"
    return ""


def _part(text: str, markers: list[_Marker], kind: str) -> tuple[str, _Marker | None]:
    """The text between the marker of this kind and the next one, and the marker; empty and None without one."""
    for marker, following in zip(markers, [*markers[1:], None], strict=True):
        if marker.kind == kind:
            return text[marker.end : following.start if following else len(text)].strip(), marker
    return "", None


def _doubtful_answer(revision: str, wrapped: bool) -> str:
    """Why this text may not be the answer alone; empty if nothing says so."""
    if IDENTIFIER.search(revision):
        return "an identifier is named inside the answer"
    if wrapped and revision.endswith(("}", ">", "]")):
        return "the answer's identifier has an open bracket that the answer may close"
    if revision.startswith("{") and revision.endswith("}"):
        try:
            json.loads(revision)
        except ValueError:
            return "the answer stands in braces"
    return ""
