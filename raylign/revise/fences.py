"""Fenced code blocks in a Markdown text (CommonMark 0.31.2, section 4.5): what stands inside one is no markup. Pure."""

import re

# CommonMark indents a fence by three spaces at most, list items by more: a block may be open under either reading.
_READINGS = tuple(
    re.compile(rf"^{indent}(?P<marks>`{{3,}}|~{{3,}})(?P<info>[^\n]*)$", re.MULTILINE)
    for indent in (" {0,3}", r"[ \t]*+")
)
_OUTER = re.compile(r"(?P<marks>`{3,})[\w-]*[ \t]*\n(?P<inside>.*)\n(?P=marks)", re.DOTALL)


def ends_inside_code(text: str) -> bool:
    """Whether a code block that opens in this text may still be open at its end."""
    return any(_scan(reading, text)[0] for reading in _READINGS)


def without_code(text: str) -> str:
    """The text without its fenced code blocks."""
    return _scan(_READINGS[1], text)[1]


def inside_outer_fence(text: str) -> str:
    """What one fence around the whole text holds; the text itself where there is none, or its inside is not whole."""
    outer = _OUTER.fullmatch(text)
    return outer["inside"] if outer and not ends_inside_code(outer["inside"]) else text


def _scan(reading: re.Pattern[str], text: str) -> tuple[bool, str]:
    """Whether a block is open at the end, and what stands outside all blocks."""
    opening = ""
    outside, outside_since = [], 0
    for fence in reading.finditer(text):
        marks, info = fence["marks"], fence["info"].strip()
        if not opening:
            if "`" in marks and "`" in info:
                continue  # a code span, opened and closed on one line
            opening = marks
            outside.append(text[outside_since : fence.start()])
        elif marks.startswith(opening) and not info:
            opening, outside_since = "", fence.end()
    if not opening:
        outside.append(text[outside_since:])
    return bool(opening), "".join(outside)
