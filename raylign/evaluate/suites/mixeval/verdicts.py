"""Reads a judge's reply on an answer: the option it chooses, or its score; never guesses. Pure."""

import re
from dataclasses import dataclass

_MARKS = r"[\s*_#>`\"'“”\[\](){}]*"
_OPTION = re.compile(rf"{_MARKS}option[\s*_]*[:：]{_MARKS}(?P<said>none|[A-Za-z]){_MARKS}\.?{_MARKS}", re.IGNORECASE)
_SCORE = re.compile(
    rf"{_MARKS}score[\s*_]*[:：]{_MARKS}(?P<said>none|\d+(?:\.\d+)?|\.\d+)(?:\s*/\s*1(?:\.0)?)?{_MARKS}\.?{_MARKS}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Read:
    """What a reply says. `is_read` is false where it says nothing that can be told; `said` is None for `none`."""

    is_read: bool
    said: str | None = None


def read_option(reply: str, letters: str) -> Read:
    """The option's letter that the judge read in an answer."""
    found = _only(_OPTION, reply)
    if found is None:
        return Read(False)
    if found == "none":
        return Read(True)
    return Read(True, found.upper()) if found.upper() in letters else Read(False)


def read_score(reply: str) -> Read:
    """The score from 0 to 1 that the judge gave an answer, as it wrote it."""
    found = _only(_SCORE, reply)
    if found is None:
        return Read(False)
    if found == "none":
        return Read(True)
    return Read(True, found) if 0.0 <= float(found) <= 1.0 else Read(False)


def _only(pattern: re.Pattern[str], reply: str) -> str | None:
    """What the last line says; None where it has another form, or an earlier line says something else."""
    lines = [line for line in reply.strip().splitlines() if line.strip()]
    said = [match["said"].lower() for line in lines if (match := pattern.fullmatch(line))]
    last = pattern.fullmatch(lines[-1]) if lines else None
    return said[-1] if last and len(set(said)) == 1 else None
