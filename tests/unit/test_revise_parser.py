"""A `clair` reply is split wherever its spelling leaves no doubt, and replies without a revision say why."""

import json
import time
from pathlib import Path

import pytest

from raylign.revise.clair import parse_clair
from raylign.revise.parse import parse_reply
from raylign.revise.parsed import Parsed
from raylign.revise.reasons import Reason

WHY = "The dates were wrong."
ANSWER = "Paris is the capital.\n\n- It lies on the Seine."
GOOD = {
    "as asked": f"{{teacher_reasoning}}\n{WHY}\n\n{{corrected_student_solution}}\n{ANSWER}",
    "colons": f"{{teacher_reasoning}}: {WHY}\n{{corrected_student_solution}}: {ANSWER}",
    "colon inside the braces": f"{{teacher_reasoning:}} {WHY}\n{{corrected_student_solution:}} {ANSWER}",
    "answer on the line, no colon": f"{{teacher_reasoning}} {WHY}\n{{corrected_student_solution}} {ANSWER}",
    "bold": f"**{{teacher_reasoning}}**\n{WHY}\n**{{corrected_student_solution}}**\n{ANSWER}",
    "bold with its colon": f"**{{teacher_reasoning}}:** {WHY}\n**{{corrected_student_solution}}:** {ANSWER}",
    "bold before its colon": f"**{{teacher_reasoning}}**: {WHY}\n**{{corrected_student_solution}}**: {ANSWER}",
    "headings": f"## {{teacher_reasoning}}\n{WHY}\n## {{corrected_student_solution}}\n{ANSWER}",
    "headings in words": f"### Teacher Reasoning\n{WHY}\n### Corrected Student Solution\n{ANSWER}",
    "bold words": f"**Teacher reasoning:**\n{WHY}\n**Corrected student solution:**\n{ANSWER}",
    "no braces": f"teacher_reasoning: {WHY}\ncorrected_student_solution: {ANSWER}",
    "a brace missing": f"{{teacher_reasoning: {WHY}\n{{corrected_student_solution: {ANSWER}",
    "the other brace missing": f"teacher_reasoning}}: {WHY}\ncorrected_student_solution}}: {ANSWER}",
    "doubled braces": f"{{{{teacher_reasoning}}}}\n{WHY}\n{{{{corrected_student_solution}}}}\n{ANSWER}",
    "escaped underscores": f"{{teacher\\_reasoning}} {WHY}\n{{corrected\\_student\\_solution}}: {ANSWER}",
    "escaped braces": f"\\{{teacher\\_reasoning\\}}\n{WHY}\n\\{{corrected\\_student\\_solution\\}}\n{ANSWER}",
    "code marks": f"`{{teacher_reasoning}}`: {WHY}\n`{{corrected_student_solution}}`: {ANSWER}",
    "capitals": f"{{TEACHER_REASONING}}\n{WHY}\n{{Corrected_Student_Solution}}\n{ANSWER}",
    "square brackets": f"[teacher_reasoning] {WHY}\n[corrected_student_solution]\n{ANSWER}",
    "Windows lines": f"{{teacher_reasoning}}\r\n{WHY}\r\n{{corrected_student_solution}}\r\n"
    + ANSWER.replace("\n", "\r\n"),
    "wide colon": f"{{teacher_reasoning}}：{WHY}\n{{corrected_student_solution}}：{ANSWER}",
    "tags": f"<teacher_reasoning>\n{WHY}\n</teacher_reasoning>\n<corrected_student_solution>\n{ANSWER}\n"
    "</corrected_student_solution>",
    "in a code fence": f"```\n{{teacher_reasoning}}\n{WHY}\n{{corrected_student_solution}}\n{ANSWER}\n```",
    "identifier and a heading of its name": f"{{teacher_reasoning}}\n{WHY}\n{{corrected_student_solution}}\n\n"
    f"**Corrected Student Solution:**\n{ANSWER}",
    "reasoning after the answer": f"{{corrected_student_solution}}\n{ANSWER}\n\n{{teacher_reasoning}}\n{WHY}",
    "reasoning without its identifier": f"{WHY}\n\n{{corrected_student_solution}}:\n{ANSWER}",
    "one brace kind too few in the first": f"teacher_reasoning:\n{WHY}\n{{corrected_student_solution}}\n{ANSWER}",
    "first in words, then as asked": f"Teacher reasoning: {WHY}\n{{corrected_student_solution}}\n{ANSWER}",
    "words in braces": f"{{Teacher Reasoning}}\n{WHY}\n{{Corrected Student Solution}}\n{ANSWER}",
    "spaces inside the braces": f"{{ teacher_reasoning }}\n{WHY}\n{{ corrected_student_solution }}\n{ANSWER}",
    "hyphens": f"{{teacher-reasoning}}\n{WHY}\n{{corrected-student-solution}}\n{ANSWER}",
    "italic": f"*teacher_reasoning*\n{WHY}\n*corrected_student_solution*\n{ANSWER}",
    "bold by underscores": f"__{{teacher_reasoning}}__\n{WHY}\n__{{corrected_student_solution}}__\n{ANSWER}",
    "a bold heading": f"## **{{teacher_reasoning}}**\n{WHY}\n## **{{corrected_student_solution}}**\n{ANSWER}",
    "code marks without braces": f"`teacher_reasoning`\n{WHY}\n`corrected_student_solution`\n{ANSWER}",
    "a wrong other half": f"{{teacher_reasoning]\n{WHY}\n{{corrected_student_solution]\n{ANSWER}",
    "tags never closed": f"<teacher_reasoning>\n{WHY}\n<corrected_student_solution>\n{ANSWER}",
    "braces with a slash to close": f"{{teacher_reasoning}}\n{WHY}\n{{corrected_student_solution}}\n{ANSWER}\n"
    "{/corrected_student_solution}",
    "no-break space before it": f"\u00a0{{teacher_reasoning}}\n{WHY}\n\u00a0{{corrected_student_solution}}\n{ANSWER}",
    "no-break space after it": f"{{teacher_reasoning}}\u00a0\n{WHY}\n{{corrected_student_solution}}\u00a0\n{ANSWER}",
    "no-break spaces in words": f"**Teacher\u00a0reasoning:**\n{WHY}\n"
    f"**Corrected\u00a0student\u00a0solution:**\n{ANSWER}",
    "zero-width spaces": f"\u200b{{teacher_reasoning}}\n{WHY}\n"
    f"\u200b{{corrected_student_solution}}\u200b\n{ANSWER}\u200b",
    "a byte order mark": f"\ufeff{{teacher_reasoning}}\n{WHY}\n{{corrected_student_solution}}\n{ANSWER}",
    "old Macintosh lines": f"{{teacher_reasoning}}\r{WHY}\r{{corrected_student_solution}}\r"
    + ANSWER.replace("\n", "\r"),
    "indented a little": f"  {{teacher_reasoning}}\n{WHY}\n   {{corrected_student_solution}}\n{ANSWER}",
    "a rule between the parts": f"{{teacher_reasoning}}\n{WHY}\n\n---\n\n{{corrected_student_solution}}\n{ANSWER}",
    "a rule at the end": f"{{teacher_reasoning}}\n{WHY}\n{{corrected_student_solution}}\n{ANSWER}\n\n---",
    "rules around the answer": f"{{teacher_reasoning}}\n{WHY}\n{{corrected_student_solution}}\n\n---\n\n"
    f"{ANSWER}\n\n***\n",
    "a word before the first": f"Sure, here it is:\n\n{{teacher_reasoning}}\n{WHY}\n"
    f"{{corrected_student_solution}}\n{ANSWER}",
    "in a longer code fence": f"````markdown\n{{teacher_reasoning}}\n{WHY}\n"
    f"{{corrected_student_solution}}\n{ANSWER}\n````",
    "reasoning after the answer, as tags": f"<corrected_student_solution>\n{ANSWER}\n</corrected_student_solution>\n"
    f"<teacher_reasoning>\n{WHY}\n</teacher_reasoning>",
    "reasoning after the answer, as headings": f"### Corrected Student Solution\n{ANSWER}\n\n"
    f"### Teacher Reasoning\n{WHY}",
    "after thoughts that name it": f"<think>{{corrected_student_solution}}\nLondon</think>\n"
    f"{{teacher_reasoning}}\n{WHY}\n{{corrected_student_solution}}\n{ANSWER}",
    "after thoughts in other tags": f"<thinking>\nLondon?\n</thinking>\n{{teacher_reasoning}}\n{WHY}\n"
    f"{{corrected_student_solution}}\n{ANSWER}",
}


@pytest.mark.parametrize("spelling", GOOD)
def test_spellings_that_leave_no_doubt(spelling: str) -> None:
    parsed = parse_reply("clair", GOOD[spelling], "stop")
    assert (parsed.status, parsed.revision, parsed.rationale) == (Reason.OK, ANSWER, WHY), parsed.detail


REASONING = f"{{teacher_reasoning}}\n{WHY}\n"
MARK = "{corrected_student_solution}"


@pytest.mark.parametrize(
    ("reply", "finish_reason", "refusal", "status"),
    [
        (" \n ", "stop", "", Reason.EMPTY),
        (f"{{teacher_reasoning}}\n{WHY}\n{{corrected_student_solution}}\n \n", "stop", "", Reason.EMPTY),
        (f"{{teacher_reasoning}}\n{WHY}\n{{corrected_student_solution}}\nParis is", "length", "", Reason.CUT_OFF),
        ("{teacher_reasoning}\nThe dates", "length", "", Reason.CUT_OFF),
        (f"{REASONING}{MARK}\n{ANSWER}", "abort", "", Reason.CUT_OFF),
        (f"<think>{REASONING}{MARK}\n{ANSWER}", "stop", "", Reason.UNPARSED),
        (f"Hm.</think>{REASONING}{MARK}\n{ANSWER}", "stop", "", Reason.UNPARSED),
        (f"a</think>\n{REASONING}{MARK}\n{ANSWER}</think>", "stop", "", Reason.UNPARSED),
        (f"<|channel|>analysis<|message|>Hm.\n{MARK}\n{ANSWER}", "stop", "", Reason.UNPARSED),
        (f"{REASONING}{MARK}\nPa\x00ris is the capital.", "stop", "", Reason.UNPARSED),
        (f"{REASONING}{MARK}\nParis \ufffd is the capital.", "stop", "", Reason.UNPARSED),
        (f"{REASONING}{MARK}\nLyon \ud83d is the capital.", "stop", "", Reason.UNPARSED),
        (f"{REASONING}{MARK}\n---", "stop", "", Reason.EMPTY),
        (f"{REASONING}{MARK}\n\u200b\u00a0", "stop", "", Reason.EMPTY),
        (f"{REASONING}{MARK}\n```\n```", "stop", "", Reason.EMPTY),
        (f"{MARK}\n{REASONING}", "stop", "", Reason.EMPTY),
        ("<think>Paris</think>", "stop", "", Reason.EMPTY),
        ("", "length", "", Reason.CUT_OFF),
        ("", "SAFETY", "", Reason.REFUSED),
        ("I’m not comfortable helping with that.", "stop", "", Reason.REFUSED),
        ("", "content_filter", "", Reason.REFUSED),
        ("", "stop", "I must not.", Reason.REFUSED),
        ("I'm sorry, but I can't help with that.", "stop", "", Reason.REFUSED),
        ("I cannot assist with this request.", "stop", "", Reason.REFUSED),
    ],
)
def test_replies_without_a_revision_say_why(reply: str, finish_reason: str, refusal: str, status: Reason) -> None:
    parsed = parse_reply("clair", reply, finish_reason, refusal)
    assert (parsed.status, parsed.revision) == (status, "")


AS_THEY_ARE = {
    "bold text": "**Paris** is it.",
    "JSON": '{"capital": "Paris"}',
    "a JSON list": '["Paris", "Lyon"]',
    "a quotation": "> quoted",
    "quotation marks": '"Paris, always Paris."',
    "code with braces": "```js\nlet a = {};\n```",
    "code that holds a fence": "````md\n```py\nx\n```\n````",
    "code in a list": "1. Run it:\n\n    ```sh\n    ls {a,b}\n    ```",
    "a link": "[a](b)",
    "headings": "# Paris\n\n## Where it lies\n\nOn the Seine.",
    "a template's braces": "Dear {name}, your {{ item }} is here {}.",
    "HTML": "<p>Paris</p>\n<p>Lyon</p>",
    "a whole tag": "<p>Paris</p>",
    "a rule in the middle": "Paris\n\n---\n\nLyon",
    "a table": "| a | b |\n|---|---|\n| 1 | 2 |",
    "a closing remark": "Paris.\n\nLet me know if you have any questions!",
    "a declining answer": "I'm sorry, but I can't help with that.",
    "a word about thinking": "Use <think> tags.",
    "a number": "42",
    "another script": "パリはフランスの首都です。",
    "a pictogram": "👍",
    "words about solutions": "The corrected solution of the equation is x = 2.",
    "words about changes": "These changes made Paris what it is. The corrections took years.",
    "a section of changes": "## Climate changes\n\nIt grows warmer.",
    "a colon first": ":wave: Hello",
    "a lower-case start": "print(2 + 2)",
}


@pytest.mark.parametrize("answer", AS_THEY_ARE.values(), ids=AS_THEY_ARE)
def test_what_an_answer_may_hold_stays_as_it_is(answer: str) -> None:
    for reply in (f"{REASONING}{MARK}\n{answer}", f"{REASONING}\n**{MARK}**:\n\n{answer}\n"):
        assert parse_reply("clair", reply, "stop") == Parsed(Reason.OK, answer, WHY)


def test_an_identifier_in_the_reasonings_prose_opens_nothing() -> None:
    mention = f"{WHY} I put the text behind {MARK} below.\n{MARK} should be short."
    parsed = parse_clair(f"{{teacher_reasoning}}\n{mention}\n\n{MARK}\n{ANSWER}")
    assert (parsed.status, parsed.revision, parsed.rationale) == (Reason.OK, ANSWER, mention)


@pytest.mark.parametrize("filler", [" ", "\t", "*", "{", "`", "\n", "\u200b", "_a", "1.", "<", "# ", "> "])
def test_a_reply_that_runs_on_in_one_sign_is_read_at_once(filler: str) -> None:
    """Models fall into such loops; a pattern that tries every split of 400 spaces took 20 seconds."""
    started = time.perf_counter()
    for reply in (f"a\n{filler * 20_000}b", f"{REASONING}{MARK}\nParis {filler * 20_000}b", f"{filler * 20_000}{MARK}"):
        parse_reply("clair", reply, "stop")
    assert time.perf_counter() - started < 5.0


def test_a_guideline_reply_is_the_revision_as_a_whole() -> None:
    assert parse_reply("guideline", "  Paris.\n", "stop").revision == "Paris."
    assert parse_reply("guideline", "Paris is", "length").status == Reason.CUT_OFF
    assert parse_reply("guideline", "<think>\nLondon? No.\n</think>\n\nParis.", "stop").revision == "Paris."
    assert parse_reply("guideline", "<think>Paris", "stop").status == Reason.UNPARSED


def test_real_replies(shared_data: Path) -> None:
    """Eight replies of gpt-4 to the paper's own prompt; their identifiers are plain, so cutting there is the truth."""
    lines = (shared_data / "clair_replies.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8
    for record in map(json.loads, lines):
        before, _, after = record["reply"].partition("{corrected_student_solution}")
        parsed = parse_reply("clair", record["reply"], record["finish_reason"])
        assert parsed.status == Reason.OK, parsed.detail
        assert parsed.revision == after.removeprefix(":").strip()
        assert parsed.rationale == before.removeprefix("{teacher_reasoning}").lstrip().removeprefix(":").strip()
