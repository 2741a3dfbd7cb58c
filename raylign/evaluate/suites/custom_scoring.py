"""Whether an answer meets the target of its line, and what a judge's reply says of it. Pure."""

import re
from dataclasses import dataclass

from raylign.evaluate.suites.custom_rows import CustomRow
from raylign.evaluate.suites.suite import Reading
from raylign.revise.parse import reply_text
from raylign.revise.parsed import Parsed

# 1,234,567.8, 12.5, .5, -3, 1e-5; a minus only where no word or digit stands before it, as in "3-4".
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?")
_MARKS = r"[\s*_#>`\"'\[\](){}]*"
_LINE = re.compile(rf"{_MARKS}verdict{_MARKS}[:：]{_MARKS}(?P<grade>pass|fail){_MARKS}\.?{_MARKS}", re.IGNORECASE)
_ALONE = re.compile(rf"{_MARKS}(?P<grade>pass|fail){_MARKS}\.?{_MARKS}", re.IGNORECASE)
_NAMED = re.compile(r"\bverdict\b[\s*_]*[:：]", re.IGNORECASE)


@dataclass(frozen=True)
class Grade:
    """What a judge says of one answer; `passed` is None where that cannot be told."""

    passed: bool | None
    detail: str = ""


def follows(row: CustomRow, answer: str) -> bool:
    """Whether the answer meets an `exact`, `regex` or `numeric` target."""
    if row.kind == "exact":
        return answer.strip() in row.target
    if row.kind == "regex":
        return re.search(row.target, answer) is not None
    number = last_number(answer)
    return number is not None and abs(number - row.target) <= row.tolerance


def last_number(text: str) -> float | None:
    """The last number of a text, with commas between thousands or without; None where it has none."""
    found = [match[0] for match in _NUMBER.finditer(text.replace("−", "-")) if any(char.isdigit() for char in match[0])]
    return float(found[-1].replace(",", "")) if found else None


def read_grade(reply: Reading) -> Grade:
    """The verdict of a judge's reply: one line `Verdict: pass` or `Verdict: fail` at its end, or nothing but the word.

    A reply that says it twice, or otherwise, leaves a doubt and is not read.
    """
    if reply.status != "ok":
        return Grade(None, f"{reply.status}: {reply.detail}")
    text = reply_text(reply.text, reply.finish_reason)
    if isinstance(text, Parsed):
        return Grade(None, f"{text.status}: {text.detail}")
    alone = _ALONE.fullmatch(text)
    line = alone or _LINE.fullmatch(text.splitlines()[-1])
    if line is None or (alone is None and len(_NAMED.findall(text)) != 1):
        return Grade(None, "unparsed: the reply does not end with one line that is its verdict")
    return Grade(line["grade"].lower() == "pass")
