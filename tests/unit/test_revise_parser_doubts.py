"""Where a `clair` reply leaves a doubt about its answer, it is a typed failure and brings no text."""

import json

import pytest

from raylign.revise.clair import parse_clair
from raylign.revise.parse import parse_reply
from raylign.revise.reasons import Reason

WHY = "The dates were wrong."
ANSWER = "Paris is the capital.\n\n- It lies on the Seine."
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
    "named in the middle of a sentence": f"{REASONING}The answer should say\n{MARK}\nand then name the city.",
    "named at a sentence's line break": f"{REASONING}Behind the identifier\n{MARK} I put the city.",
    "the reasoning's heading in words, no second": f"{REASONING}Corrected student solution: should be short.",
    "two words of different style": f"### Teacher reasoning\n{WHY}\nCorrected student solution: should be short.",
    "words after a marked answer": f"{MARK}\n{ANSWER}\nTeacher reasoning: {WHY}",
    "words inside the answer": f"{REASONING}{MARK}\n{ANSWER}\n\n- **Teacher reasoning:** {WHY}",
    "whole reply twice": f"{REASONING}{MARK}\n{ANSWER}\n\n{REASONING}{MARK}\n{ANSWER}",
    "two markers on a line": f"{REASONING}{MARK}{MARK}\n{ANSWER}",
    "all on one line": f"{{teacher_reasoning}} {WHY} {MARK} {ANSWER}",
    "both in a block quote": f"> {{teacher_reasoning}}\n> {WHY}\n>\n> {MARK}\n> Paris.",
    "quoted in the reasoning and then used": f"{REASONING}> {MARK}\n> London.\n\n{MARK}\n{ANSWER}",
    "listed in the reasoning and then used": f"{REASONING}1. {MARK}: London.\n\n{MARK}\n{ANSWER}",
    "a list": f"- {{teacher_reasoning}}: {WHY}\n- {MARK}: Paris.",
    "a numbered list": f"1. {{teacher_reasoning}}: {WHY}\n2. {MARK}: Paris.",
    "a table": f"| {{teacher_reasoning}} | {MARK} |\n|---|---|\n| {WHY} | Paris. |",
    "a table of two rows": f"| {{teacher_reasoning}} | {WHY} |\n|---|---|\n| {MARK} | Paris. |",
    "an indented code block": f"{REASONING}It should read\n\n    {MARK}\n    Paris.",
    "a fence of another kind inside": f"{REASONING}~~~\n```\n{MARK}\n{ANSWER}",
    "a short fence inside a longer one": f"{REASONING}````\n```\n{MARK}\n{ANSWER}",
    "a fence that only looks closed": f"{REASONING}```md\n    ```\n{MARK}\n{ANSWER}",
    "the answer's identifier alone in a fence": f"{REASONING}```\n{MARK}\nParis.\n```",
    "a stray fence at the end": f"{REASONING}{MARK}\n{ANSWER}\n```",
    "HTML entities": f"&#123;teacher_reasoning&#125;\n{WHY}\n&#123;corrected_student_solution&#125;\n{ANSWER}",
    "escaped tags": f"&lt;teacher_reasoning&gt;\n{WHY}\n&lt;corrected_student_solution&gt;\n{ANSWER}",
    "an HTML comment": f"{REASONING}<!-- {MARK} -->\n{ANSWER}",
    "folded away": f"<details>\n{REASONING}{MARK}\n{ANSWER}\n</details>",
    "wide braces": f"｛teacher_reasoning｝\n{WHY}\n｛corrected_student_solution｝\n{ANSWER}",
    "Cyrillic letters in it": f"{REASONING}{{\u0441\u043errected_student_solution}}\n{ANSWER}",
    "a soft hyphen in it": f"{REASONING}{{corrected\u00ad_student_solution}}\n{ANSWER}",
    "a zero-width space in it": f"{REASONING}{{corrected_\u200bstudent_solution}}\n{ANSWER}",
    "hidden once more in the answer": f"{REASONING}{MARK}\nLondon.\n{{corrected_\u200bstudent_solution}}\nParis.",
    "broken over two lines": f"{REASONING}{{corrected_\nstudent_solution}}\n{ANSWER}",
    "translated": f"{{razonamiento_del_profesor}}\n{WHY}\n{{solucion_corregida}}\n{ANSWER}",
    "translated after the answer": f"{MARK}\n{ANSWER}\n{{razonamiento_del_profesor}}\n{WHY}",
    "in the plural": f"{REASONING}{{corrected_student_solutions}}\n{ANSWER}",
    "a third part": f"{REASONING}{MARK}\n{ANSWER}\n\n{{changes_made}}\nThe dates.",
    "an end spelled out": f"{REASONING}{MARK}\n{ANSWER}\n{{end_of_solution}}",
    "an end that names it": f"{REASONING}{MARK}\n{ANSWER}\n{{end corrected_student_solution}}",
    "LaTeX": f"\\textbf{{teacher_reasoning}}\n{WHY}\n\\textbf{{corrected_student_solution}}\n{ANSWER}",
    "assignments": f'teacher_reasoning = "{WHY}"\ncorrected_student_solution = "Paris."',
    "YAML blocks": f"teacher_reasoning: |\n  {WHY}\ncorrected_student_solution: |\n  Paris.",
    "YAML strings": f'teacher_reasoning: "{WHY}"\ncorrected_student_solution: "Paris."',
    "JavaScript": f'{{\n  teacher_reasoning: "{WHY}",\n  corrected_student_solution: "Paris."\n}}',
    "triple quotes": f'{REASONING}{MARK}:\n"""\nParis.\n"""',
    "doubled braces around the answer": f"{REASONING}{MARK}\n{{{{Paris is the capital.}}}}",
    "one of two braces closed later": f"{REASONING}{{{{corrected_student_solution}}\nParis.}}",
    "the reasoning's brace closed later": f"{{teacher_reasoning: {WHY}}}\n{MARK}\n{ANSWER}",
    "square brackets around the answer": f"{REASONING}{MARK}: [Paris is the capital.]",
    "angle brackets around the answer": f"{REASONING}{MARK}\n<Paris is the capital.>",
    "a tag around the answer": f"{REASONING}{MARK}\n<answer>\n{ANSWER}\n</answer>",
    "the request's tag around the answer": f"{REASONING}{MARK}\n<student_solution>\n{ANSWER}\n</student_solution>",
    "the request's tag after the answer": f"{REASONING}{MARK}\n{ANSWER}\n</student_solution>",
    "a title of its own": f"{REASONING}{MARK}\n**Corrected Solution:**\n{ANSWER}",
    "underlined": f"{{teacher_reasoning}}\n-----\n{WHY}\n{MARK}\n=====\n{ANSWER}",
    "a rule right below the answer": f"{REASONING}{MARK}\nParis.\n---",
    "no changes": f"{REASONING}{MARK}\nNo changes needed.",
    "a pointer upwards": f"{REASONING}{MARK}\n(same as above)",
    "a pointer in a sentence": f"{REASONING}{MARK}\n(Please see the text above.)",
    "parts swapped": f"{{teacher_reasoning}}\n{ANSWER}\n{MARK}\nThe student's solution has wrong dates.",
    "a list of changes": f"{REASONING}{MARK}\n{ANSWER}\n\n**Changes made:**\n- the dates",
    "a heading over the changes": f"{MARK}\n{ANSWER}\n\n### **Explanation of the Changes**\nThe dates.",
    "a note on the changes": f"{REASONING}{MARK}\n{ANSWER}\n\nSummary of key improvements: the dates.",
    "two colons": f"{REASONING}{MARK}:: {ANSWER}",
    "a placeholder": f"{REASONING}{MARK}\n[Your answer here]",
    "followed by a dash": f"{REASONING}{MARK} — {ANSWER}",
    "followed by a full stop": f"{REASONING}{MARK}.\n{ANSWER}",
    "a JSON object in a fence": '```json\n{"teacher_reasoning": "w", "corrected_student_solution": "Paris."}\n```',
    "a JSON object": json.dumps({"teacher_reasoning": WHY, "corrected_student_solution": ANSWER}),
}


@pytest.mark.parametrize("spelling", DOUBTFUL)
def test_doubt_is_a_typed_failure_without_text(spelling: str) -> None:
    parsed = parse_reply("clair", DOUBTFUL[spelling], "stop")
    assert (parsed.status, parsed.revision, parsed.rationale) == (Reason.UNPARSED, "", "")
    assert parsed.detail


def test_an_answer_of_many_brackets_is_no_exception() -> None:
    assert parse_clair(f"{MARK}\n{'[' * 50_000}{']' * 50_000}").status != Reason.OK
    assert parse_clair(f"{MARK}\n{'{' * 50_000}a{'}' * 50_000}").status == Reason.UNPARSED
