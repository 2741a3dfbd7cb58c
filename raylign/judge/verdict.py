"""Reads a judge's reply: which of two answers it prefers, or a typed reason why that cannot be told. Pure.

The template asks for a line `Verdict: A`, `Verdict: B` or `Verdict: tie` at the end. Accepted are also that line at the
start, with marks of emphasis, brackets or a full stop around it or its letter, and a reply that is nothing but the
letter or `tie`. Any other word in the line, or a second verdict, leaves a doubt.
"""

import re
from dataclasses import dataclass
from typing import Literal

from raylign.refusal import refusal_in
from raylign.revise.parse import reply_text
from raylign.revise.parsed import Parsed
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply

Choice = Literal["first", "second", "tie", ""]

_MARKS = r"[\s*_#>`\"'“”\[\](){}]*+"
_NAMED = re.compile(r"\bverdict\b[\s*_]*[:：]", re.IGNORECASE)
_LINE = re.compile(
    rf"{_MARKS}(?:(?:my|the|final) ){{0,2}}+verdict[\s*_]*+[:：]"
    rf"{_MARKS}(?:answer )?(?P<choice>a|b|tie){_MARKS}\.?{_MARKS}",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"{_MARKS}(?:[Aa]nswer )?(?P<choice>A|B|[Tt]ie|TIE){_MARKS}\.?{_MARKS}")
_CHOICES: dict[str, Choice] = {"a": "first", "b": "second", "tie": "tie"}


@dataclass(frozen=True)
class Verdict:
    """What a reply says; `choice` is empty unless status is `ok`."""

    status: Reason
    choice: Choice = ""
    """By the place in which an answer was shown."""
    rationale: str = ""
    detail: str = ""
    """What is wrong with the reply, where status is not `ok`."""


def read_verdict(reply: Reply) -> Verdict:
    """The verdict of a reply."""
    text = reply_text(reply.text, reply.finish_reason, reply.refusal)
    if isinstance(text, Parsed):
        return Verdict(text.status, detail=text.detail)
    if alone := _ALONE.fullmatch(text):
        return Verdict(Reason.OK, _CHOICES[alone["choice"].lower()])
    named = len(_NAMED.findall(text))
    if named == 0 and refusal_in(text):
        return Verdict(Reason.REFUSED, detail="the reply declines")
    if named != 1:
        return _unread("no verdict is named" if named == 0 else "more than one verdict is named")
    lines = text.splitlines()
    for place, rest in ((-1, lines[:-1]), (0, lines[1:])):
        if line := _LINE.fullmatch(lines[place]):
            return Verdict(Reason.OK, _CHOICES[line["choice"].lower()], "\n".join(rest).strip())
    return _unread("the verdict is not a line of its own at the end, or it is none of A, B and tie")


def _unread(detail: str) -> Verdict:
    return Verdict(Reason.UNPARSED, detail=detail)
