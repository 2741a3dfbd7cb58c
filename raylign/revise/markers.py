"""The identifiers of a `clair` reply: which lines of a text are one, and how each is spelled. Pure.

Models spell an identifier in many ways. A line counts as one if nothing but decoration stands before it, and if what
follows cannot be the rest of a sentence about it.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Marker:
    """An identifier at the start of a line."""

    kind: str
    """`r` opens the reasoning and `a` the answer; `R` and `A` end them, as </corrected_student_solution> does."""
    strong: bool
    """Spelled with its underscores or a bracket, so it can hardly be prose."""
    style: tuple[bool, str]
    """Whether it is a heading, and its bold, italic or code mark."""
    wrapped: bool
    """Its bracket is still open at the end, so the part may end with the other bracket."""
    inline: bool
    """Text follows on its line without a colon between."""
    start: int
    end: int


_BLANK = r"[ \t\u00a0\u200b\u2060\ufeff]*+"  # possessive: long runs of spaces would otherwise be split in every way
_UNDERSCORE = r"(?:\\?_|[ \u00a0\-])"
_REASONING = rf"teacher{_UNDERSCORE}reasoning"
_ANSWER = rf"corrected{_UNDERSCORE}student{_UNDERSCORE}solution"
_OTHER_HALF = {"{": "}", "<": ">", "[": "]"}

IDENTIFIER = re.compile(r"teacher\\?_reasoning|corrected\\?_student\\?_solution", re.IGNORECASE)
"""An identifier named anywhere, in the spelling that no prose has."""

NAMED_AT_LINE_START = re.compile(
    rf"^(?:[^\w\n]|\d{{1,3}}[.)])*+(?:{_REASONING}|{_ANSWER})(?![A-Za-z0-9]|_[A-Za-z0-9])", re.IGNORECASE | re.MULTILINE
)
"""An identifier, also in plain words, as a line's first words: behind a list's, quote's or table's mark too."""

OPENS_ANSWER_ELSEWHERE = re.compile(
    r"^(?:[^\w\n]|\d{1,3}[.)])*+corrected\\?_student\\?_solution(?:[^\w\n:：]*+[:：]|[^\w\n]*+$)",
    re.IGNORECASE | re.MULTILINE,
)
"""The answer's identifier as a list's, quote's or table's line would open an answer with it."""

# Four columns of indentation make a code block. After the name: a colon, the bracket's other half and the end of the
# decoration, in their usual orders.
_MARKER = re.compile(
    rf"""^[ \u00a0\u200b\u2060\ufeff]{{0,3}}+(?![ \t\u00a0])(?P<heading>\#{{1,6}})?{_BLANK}
    (?P<decoration>\*{{1,3}}|__|`)?{_BLANK}     # bold, italic or code
    (?P<open>(?:\\?[{{<\[]){{1,2}})?{_BLANK}(?P<closing>/?){_BLANK}
    (?P<name>{_REASONING}|{_ANSWER})(?![A-Za-z0-9]|_[A-Za-z0-9]){_BLANK}
    (?P<inner>(?(open)[:：]?)){_BLANK}(?P<close>(?:\\?[}}>\]]){{0,2}}){_BLANK}(?P<colon>[:：]?){_BLANK}
    (?(decoration)(?P=decoration){_BLANK}(?P<late>[:：]?){_BLANK})""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


def find_markers(text: str) -> list[Marker]:
    """The identifiers of a text in order; one for a run of the same with nothing between (one and a heading of it)."""
    kept: list[Marker] = []
    for match in _MARKER.finditer(text):
        marker = _read(text, match)
        if marker is None:
            continue
        last = kept[-1] if kept else None
        if last is not None and last.kind == marker.kind and not text[last.end : marker.start].strip():
            strong = last.strong or marker.strong
            wrapped = last.wrapped or marker.wrapped
            kept[-1] = Marker(marker.kind, strong, last.style, wrapped, marker.inline, last.start, marker.end)
        else:
            kept.append(marker)
    return kept


def _read(text: str, match: re.Match[str]) -> Marker | None:
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
    opened, closed = ((match[half] or "").replace("\\", "") for half in ("open", "close"))
    return Marker(
        kind=kind.upper() if match["closing"] else kind,
        strong=strong,
        style=(bool(match["heading"]), match["decoration"] or ""),
        wrapped=bool(opened) and closed != "".join(_OTHER_HALF[half] for half in reversed(opened)),
        inline=not colon and following not in ("", "\n"),
        start=match.start(),
        end=match.end(),
    )
