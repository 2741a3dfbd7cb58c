"""A judge's reply is a verdict only where no doubt is left which one."""

import time

import pytest

from raylign.judge.verdict import read_verdict
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("A is right and B is not.\n\nVerdict: A", "first"),
        ("B is clearer.\nVerdict: B", "second"),
        ("Both will do.\nVerdict: tie", "tie"),
        ("B.\n**Verdict: B**", "second"),
        ("B.\n**Verdict:** B.", "second"),
        ("B.\n## Final verdict: [[B]]\n", "second"),
        ("So.\nMy final verdict: Answer A", "first"),
        ("So.\nverdict : a", "first"),
        ("So.\r\nVerdict: **Tie**\r\n", "tie"),
        ("Verdict: A\nIt says more, and all of it is right.", "first"),
        ("<think>Verdict: B? No.</think>\nA is right.\nVerdict: A", "first"),
        ("A", "first"),
        ("**B**", "second"),
        ("Tie.", "tie"),
        ("Answer A", "first"),
    ],
)
def test_clear_verdicts(text: str, choice: str) -> None:
    verdict = read_verdict(Reply(text, "stop"))
    assert (verdict.status, verdict.choice) == (Reason.OK, choice)


@pytest.mark.parametrize(
    "text",
    [
        "A is better.",
        "I prefer answer A",
        "Verdict: A or B",
        "Verdict: A/B",
        "Verdict: AB",
        "Verdict: C",
        "Verdict:",
        "Verdict: A is better",
        "Verdict: A\nVerdict: A",
        "Verdict: A\nOn reflection:\nVerdict: B",
        'One of "Verdict: A", "Verdict: B" or "Verdict: tie".\nVerdict: A',
        "First this.\nVerdict: A\nThen that.",
        "Verdict: \u0410",  # Cyrillic
        "a",
        "B, I think",
        "Verdict: not A",
    ],
)
def test_doubtful_verdicts_are_unparsed(text: str) -> None:
    verdict = read_verdict(Reply(text, "stop"))
    assert (verdict.status, verdict.choice) == (Reason.UNPARSED, "")
    assert verdict.detail


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply("Verdict: A", "length"), Reason.CUT_OFF),
        (Reply("", "content_filter"), Reason.REFUSED),
        (Reply("I'm sorry, but I can't help with that.", "stop"), Reason.REFUSED),
        (Reply(" \n", "stop"), Reason.EMPTY),
    ],
)
def test_replies_without_a_verdict_keep_their_reason(reply: Reply, status: Reason) -> None:
    assert read_verdict(reply).status == status


def test_the_rest_of_the_reply_is_the_rationale() -> None:
    assert read_verdict(Reply("A errs.\nB does not.\n\nVerdict: B", "stop")).rationale == "A errs.\nB does not."
    assert read_verdict(Reply("B", "stop")).rationale == ""


def test_a_long_reply_is_read_at_once() -> None:
    for text in ("*" * 200_000 + "x", "my " * 100_000 + "verdict: A", "Verdict: " + "*" * 200_000 + "A x"):
        started = time.monotonic()
        assert read_verdict(Reply(text, "stop")).status == Reason.UNPARSED
        assert time.monotonic() - started < 2
