"""Checks of how a response is laid out: `detectable_content` and `detectable_format`. Pure."""

import json
import re

# A bullet's star must not be followed by another, which would be bold text or a divider.
_BULLET = re.compile(r"^[^\S\n]*(\*[^*]|-).*$", re.MULTILINE)
_STARRED = re.compile(r"\*([^*\n]*)\*")
_DOUBLE_STARRED = re.compile(r"\*\*([^*\n]*)\*\*")
_CHOICES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_POSTSCRIPTS = {"P.S.": re.compile(r"p\.\s?s\."), "P.P.S": re.compile(r"p\.\s?p\.\s?s")}
_FENCES = ("```json", "```Json", "```JSON", "```")


def number_placeholders(response: str, *, num_placeholders: int) -> bool:
    """At least so many placeholders in square brackets, such as [address], each within a line."""
    # What a line holds before each "]": one placeholder where there is a "[" in it.
    before = [piece for line in response.split("\n") for piece in line.split("]")[:-1]]
    return sum("[" in piece for piece in before) >= num_placeholders


def postscript(response: str, *, postscript_marker: str) -> bool:
    """The postscript's marker occurs, in any case; "P.S." and "P.P.S" may have a space after each full stop."""
    text = response.lower()
    known = _POSTSCRIPTS.get(postscript_marker.strip())
    return bool(known.search(text)) if known else postscript_marker.strip().lower() in text


def number_bullet_lists(response: str, *, num_bullets: int) -> bool:
    """Exactly so many bullets: lines that begin with one star or with a dash (a rule such as `---` is one, too)."""
    return len(_BULLET.findall(response)) == num_bullets


def number_highlighted_sections(response: str, *, num_highlights: int) -> bool:
    """At least so many spans *between stars* or **double stars** on one line; blank spans do not count."""
    spans = [*_STARRED.findall(response), *_DOUBLE_STARRED.findall(response)]
    return sum(bool(span.strip()) for span in spans) >= num_highlights


def multiple_sections(response: str, *, section_spliter: str, num_sections: int) -> bool:
    """At least so many headings such as "Section 1": the splitter, in this case, with a number after it."""
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", response)) >= num_sections


def title(response: str) -> bool:
    """There is a title in double angular brackets on one line, such as <<poem of joy>>, that is not blank."""
    for line in response.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end - 2 and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def json_format(response: str) -> bool:
    """The whole response is one JSON value (any, also a bare string), alone or in a Markdown code fence."""
    text = response.strip()
    for fence in _FENCES:
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):  # the second: brackets nested thousands deep
        return False
    return True


def constrained_response(response: str) -> bool:
    """It contains one of the three answers: "My answer is yes.", "My answer is no.", "My answer is maybe."."""
    return any(choice in response for choice in _CHOICES)
