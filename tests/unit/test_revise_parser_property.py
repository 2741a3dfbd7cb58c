"""Whatever an answer holds: rendered in any accepted spelling it comes back exactly, or not at all."""

import random

import pytest

from raylign.revise.parse import parse_reply
from raylign.revise.reasons import Reason

NAMES = ("teacher_reasoning", "corrected_student_solution")
WORDS = ("Teacher Reasoning", "Corrected Student Solution")
SPELLINGS = {
    "as asked": ("{%s}\n", NAMES),
    "colon": ("{%s}: ", NAMES),
    "colon inside": ("{%s:} ", NAMES),
    "bold": ("**{%s}:**\n", NAMES),
    "heading": ("## {%s}\n\n", NAMES),
    "words as headings": ("### %s\n", WORDS),
    "words in bold": ("**%s**\n", WORDS),
    "no braces": ("%s:\n", NAMES),
    "doubled": ("{{%s}}\n", NAMES),
    "a brace missing": ("{%s:\n", NAMES),
    "square": ("[%s]\n", NAMES),
    "tags": ("<%s>\n", NAMES),
    "code marks": ("`{%s}`\n", NAMES),
    "no-break space": ("\u00a0{%s}\u00a0\n", NAMES),
}
PLAIN = (
    "Paris is the capital.",
    "It lies on the Seine",
    "and is old,",
    "print(1)",
    "für 3 €",
    "答え",
    "a {b} c",
    "x = {}",
)
LINES = (
    *PLAIN, "", "# Heading", "- item", "> quote", "1. first", "| a | b |", "**bold**", "---", "===", "***", "{", "}",
    "{a: 1}", "[x]", "<p>", "</p>", "```", "```py", "````", "~~~", "    indented", '"quoted"', "{snake_case}", "Why:",
    "Corrected Solution:",  "</details>", "No changes needed.", "I'm sorry.", "</student_solution>", "&lt;b&gt;",
    "\u200b",
)  # fmt: skip
TRAPS = (
    "{corrected_student_solution}", "corrected_student_solution: Lyon", "{teacher_reasoning}", "Teacher reasoning:",
    "> {corrected_student_solution}", "The {teacher_reasoning} says so", "**Corrected Student Solution**",
    "</corrected_student_solution>", "{corrected\\_student\\_solution} Lyon", "    {corrected_student_solution}",
)  # fmt: skip


def text_of(chance: random.Random, lines: tuple[str, ...], edge: tuple[str, ...] = PLAIN) -> str:
    """Some lines, without white space or rules around them: those belong to no part."""
    middle = [chance.choice(lines) for _ in range(chance.randint(0, 5))]
    first, last = (chance.choice(edge if chance.random() < 0.3 else PLAIN) for _ in range(2))
    text = "\n".join([first, *middle, last]).strip("\u200b \n")
    return text if text.strip("-*\n ") == text else f"So.\n{text}\nEnd."


def rendered(chance: random.Random, rationale: str, answer: str) -> str:
    form, (first, second) = SPELLINGS[chance.choice(list(SPELLINGS))]
    parts = [(form % first) + rationale, (form % second) + answer]
    if chance.random() < 0.2:
        parts.reverse()
    gap = chance.choice(("\n", "\n\n", "\n\n---\n\n"))
    reply = gap.join(parts)
    return chance.choice((reply, reply + "\n", reply.replace("\n", "\r\n"), f"```\n{reply}\n```", f"Sure:\n\n{reply}"))


@pytest.mark.parametrize("seed", range(4))
def test_the_answer_comes_back_exactly_or_not_at_all(seed: int) -> None:
    chance = random.Random(seed)
    accepted = 0
    for _ in range(4_000):
        rationale, answer = text_of(chance, LINES, LINES), text_of(chance, LINES, LINES)
        reply = rendered(chance, rationale, answer)
        parsed = parse_reply("clair", reply, "stop")
        if parsed.status == Reason.OK:
            accepted += 1
            assert parsed.revision == answer, reply
        else:
            assert (parsed.revision, parsed.status in (Reason.UNPARSED, Reason.EMPTY)) == ("", True), reply
    assert accepted > 1_000, "not by refusing everything"


@pytest.mark.parametrize("seed", range(4))
def test_an_identifier_where_it_does_not_belong_never_brings_a_part_of_the_answer(seed: int) -> None:
    """With an identifier somewhere in the reasoning or the answer, too, nothing but the whole answer may come."""
    chance = random.Random(100 + seed)
    for _ in range(4_000):
        rationale, answer = text_of(chance, PLAIN + TRAPS), text_of(chance, PLAIN)
        if chance.random() < 0.5:
            rationale, answer = text_of(chance, PLAIN), text_of(chance, PLAIN + TRAPS)
        reply = rendered(chance, rationale, answer)
        parsed = parse_reply("clair", reply, "stop")
        assert parsed.revision in ("", answer), reply


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_each_spelling_brings_plain_answers_back(spelling: str) -> None:
    form, (first, second) = SPELLINGS[spelling]
    parsed = parse_reply("clair", f"{form % first}The dates.\n\n{form % second}Paris\n\n# So", "stop")
    assert (parsed.status, parsed.revision, parsed.rationale) == (Reason.OK, "Paris\n\n# So", "The dates.")
