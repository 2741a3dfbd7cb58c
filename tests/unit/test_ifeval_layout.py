"""IFEval's checks of content, format, order and repetition: what each accepts, loosely accepts, rejects.

Every case says whether the response follows strictly, only under the loose criterion, or not at all.
"""

import pytest

from raylign.evaluate.ifeval.checks import CHECKS
from raylign.evaluate.ifeval.suite import IfevalRow, Instruction, score

FAMILIES = ("detectable_content", "detectable_format", "combination", "startend")
ONLY_STRICT = {"detectable_content:number_placeholders", "detectable_format:number_highlighted_sections"}
"""Taking lines and stars away never adds what these two count, so nothing follows them only loosely."""
PROMPT = {"prompt_to_repeat": "Name three rivers."}
HELP = {"end_phrase": "Is there anything else I can help with?"}

Case = tuple[dict[str, object], str, str]
CASES: dict[str, list[Case]] = {
    "detectable_content:number_placeholders": [
        ({"num_placeholders": 2}, "Dear [name], meet me at [place].", "strict"),
        ({"num_placeholders": 1}, "[one] and [two] are more than asked", "strict"),
        ({"num_placeholders": 2}, "Dear [name], hello.", "no"),
        ({"num_placeholders": 1}, "Dear [na\nme], hello.", "no"),
        ({"num_placeholders": 1}, "Dear (name), hello.", "no"),
    ],
    "detectable_content:postscript": [
        ({"postscript_marker": "P.S."}, "Bye.\nP. S. Call me.", "strict"),
        ({"postscript_marker": "P.P.S"}, "Bye.\n\np.p.s call me", "strict"),
        ({"postscript_marker": "N.B."}, "Bye. n.b. call me", "strict"),
        ({"postscript_marker": "P.S."}, "Bye.\nP.*S.* Call me.", "loose"),
        ({"postscript_marker": "P.S."}, "Bye.\nPS: call me.", "no"),
        ({"postscript_marker": "P.P.S"}, "Bye.\nP.S. Call me.", "no"),
    ],
    "detectable_format:constrained_response": [
        ({}, "My answer is yes.", "strict"),
        ({}, "Well then.\nMy answer is maybe. That is all.", "strict"),
        ({}, "My answer is **no**.", "loose"),
        ({}, "My answer is yes", "no"),
        ({}, "my answer is no.", "no"),
    ],
    "detectable_format:json_format": [
        ({}, '{"river": ["Elbe", 1]}', "strict"),
        ({}, '```json\n{"river": "Elbe"}\n```', "strict"),
        ({}, '"a bare text is JSON, too"', "strict"),
        ({}, 'Here is the JSON:\n{"river": "Elbe"}', "loose"),
        ({}, "{'river': 'Elbe'}", "no"),
        ({}, "[" * 100_000, "no"),
    ],
    "detectable_format:multiple_sections": [
        ({"section_spliter": "Section", "num_sections": 2}, "Section 1\nA\nSection 2\nB", "strict"),
        ({"section_spliter": "Day", "num_sections": 1}, "Day1: rest. Day 2: walk.", "strict"),
        ({"section_spliter": "Section", "num_sections": 1}, "Section **1**\nA", "loose"),
        ({"section_spliter": "SECTION", "num_sections": 1}, "Section 1\nA", "no"),
        ({"section_spliter": "Section", "num_sections": 2}, "Section 1\nA\nSection two\nB", "no"),
    ],
    "detectable_format:number_bullet_lists": [
        ({"num_bullets": 3}, "List:\n* one\n  - two\n* three", "strict"),
        ({"num_bullets": 1}, "**Bold** is no bullet\n* one", "strict"),
        ({"num_bullets": 1}, "- here they are\n- one", "loose"),
        ({"num_bullets": 6}, "* one\n* two\n\n* three\n* four", "no"),
        ({"num_bullets": 2}, "1. one\n2. two", "no"),
    ],
    "detectable_format:number_highlighted_sections": [
        ({"num_highlights": 2}, "*One* and **two**.", "strict"),
        ({"num_highlights": 1}, "*a* *b* *c*", "strict"),
        ({"num_highlights": 1}, "** ** and * *", "no"),
        ({"num_highlights": 1}, "*one\ntwo*", "no"),
        ({"num_highlights": 3}, "*One* and **two**.", "no"),
    ],
    "detectable_format:title": [
        ({}, "<<Rivers>>\nThe Elbe is long.", "strict"),
        ({}, "Text before <<< a title >>> and after", "strict"),
        ({}, "*<*<Rivers>>", "loose"),
        ({}, "<< >>", "no"),
        ({}, "<Rivers>", "no"),
        ({}, "<<Riv\ners>>", "no"),
    ],
    "combination:repeat_prompt": [
        (PROMPT, "Name three rivers. Elbe, Oder, Main.", "strict"),
        (PROMPT, "\n  NAME THREE RIVERS.\nElbe", "strict"),
        (PROMPT, "Sure.\nName three rivers.\nElbe", "loose"),
        (PROMPT, "Name 3 rivers. Elbe", "no"),
        (PROMPT, 'The request is "Name three rivers." Elbe', "no"),
    ],
    "combination:two_responses": [
        ({}, "Elbe\n******\nOder", "strict"),
        ({}, "******\nElbe\n******\nOder\n******", "strict"),
        ({}, "Here you are:\n******\nElbe\n******\nOder", "loose"),
        ({}, "Elbe\n******\nElbe ", "no"),
        ({}, "Elbe\n******\n******\nOder", "no"),
        ({}, "Elbe\n***\nOder", "no"),
    ],
    "startend:end_checker": [
        (HELP, "Elbe. Is there anything else I can help with?", "strict"),
        (HELP, '"Elbe. IS THERE anything else I can help with?"\n', "strict"),
        (HELP, "Elbe. **Is there anything else I can help with?**", "loose"),
        (HELP, "Is there anything else I can help with?\nBye", "loose"),
        (HELP, "Is there anything else I can help with? Bye", "no"),
        (HELP, "Elbe. Anything else?", "no"),
    ],
    "startend:quotation": [
        ({}, '"The Elbe is long."', "strict"),
        ({}, '\n "" \n', "strict"),
        ({}, 'Here:\n"The Elbe is long."', "loose"),
        ({}, '"The Elbe" is long.', "no"),
        ({}, "“The Elbe is long.”", "no"),
        ({}, '"', "no"),
    ],
}


def verdict(instruction_id: str, arguments: dict[str, object], response: str) -> str:
    outcome = score([IfevalRow(1, "p", (Instruction(instruction_id, arguments),))], {1: response}).outcomes[0]
    return "strict" if outcome.strict[0] else "loose" if outcome.loose[0] else "no"


def test_every_type_of_these_families_has_accepting_and_rejecting_cases() -> None:
    assert sorted(CASES) == [name for name in sorted(CHECKS) if name.startswith(FAMILIES)]
    for name, cases in CASES.items():
        assert len(cases) >= 4
        kinds = {"strict", "no"} if name in ONLY_STRICT else {"strict", "loose", "no"}
        assert {expected for *_, expected in cases} == kinds


@pytest.mark.parametrize(
    ("instruction_id", "arguments", "response", "expected"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
)
def test_layout_case(instruction_id: str, arguments: dict[str, object], response: str, expected: str) -> None:
    assert verdict(instruction_id, arguments, response) == expected
