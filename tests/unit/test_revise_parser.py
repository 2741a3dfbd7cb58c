"""A `clair` reply is split where no doubt is left, and is a typed failure everywhere else."""

import json
from pathlib import Path

import pytest

from raylign.revise.parse import parse_clair, parse_reply
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
}


@pytest.mark.parametrize("spelling", GOOD)
def test_spellings_that_leave_no_doubt(spelling: str) -> None:
    parsed = parse_reply("clair", GOOD[spelling], "stop")
    assert (parsed.status, parsed.revision, parsed.rationale) == (Reason.OK, ANSWER, WHY), parsed.detail


REASONING = f"{{teacher_reasoning}}\n{WHY}\n"
MARK = "{corrected_student_solution}"
DOUBTFUL = {
    "no identifier": "Paris is the capital of France.",
    "only the reasoning": f"{REASONING}Paris is the capital.",
    "named in prose at a line's start": f"{REASONING}I will do this:\n{MARK} should be short.",
    "named in prose, then missing": f"I could write {MARK}: but I did not.",
    "named in words only, no reasoning": "Corrected student solution: as discussed.",
    "answer twice": f"{REASONING}{MARK}\n{ANSWER}\n{MARK}\n{ANSWER}",
    "reasoning twice": f"{REASONING}{MARK}\n{ANSWER}\n{REASONING}",
    "an identifier inside the answer": f"{MARK}\n{ANSWER} Thus ends the corrected_student_solution.",
    "bold that never closes": f"{REASONING}**{MARK}: {ANSWER}**",
    "braces around the answer": f"{{teacher_reasoning: {WHY}}}\n{{corrected_student_solution: {ANSWER}}}",
    "answer in braces of its own": f"{REASONING}{MARK}: {{Paris is the capital.}}",
    "another identifier": f"{REASONING}{{corrected_student_solution_1}}\n{ANSWER}",
    "inside a code block": f"{{teacher_reasoning}}\n```\n{MARK}\n{ANSWER}",
    "text after the answer's end": f"<corrected_student_solution>\n{ANSWER}\n</corrected_student_solution>\nGood luck!",
    "parts inside each other": f"<teacher_reasoning>\n{WHY}\n<corrected_student_solution>\n{ANSWER}\n"
    "</teacher_reasoning>\nMore.",
    "closed before it opens": f"</corrected_student_solution>\n{REASONING}{MARK}\n{ANSWER}",
    "a JSON object": json.dumps({"teacher_reasoning": WHY, "corrected_student_solution": ANSWER}),
}


@pytest.mark.parametrize("spelling", DOUBTFUL)
def test_doubt_is_a_typed_failure_without_text(spelling: str) -> None:
    parsed = parse_clair(DOUBTFUL[spelling])
    assert (parsed.status, parsed.revision) == (Reason.UNPARSED, "")
    assert parsed.detail


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
        ("", "content_filter", "", Reason.REFUSED),
        ("", "stop", "I must not.", Reason.REFUSED),
        ("I'm sorry, but I can't help with that.", "stop", "", Reason.REFUSED),
        ("I cannot assist with this request.", "stop", "", Reason.REFUSED),
    ],
)
def test_replies_without_a_revision_say_why(reply: str, finish_reason: str, refusal: str, status: Reason) -> None:
    parsed = parse_reply("clair", reply, finish_reason, refusal)
    assert (parsed.status, parsed.revision) == (status, "")


def test_bold_text_json_and_quotes_in_the_answer_stay_as_they_are() -> None:
    for answer in ("**Paris** is it.", '{"capital": "Paris"}', "> quoted", "```js\nlet a = {};\n```", "[a](b)"):
        assert parse_clair(f"{{teacher_reasoning}}: {WHY}\n{{corrected_student_solution}}: {answer}").revision == answer


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
