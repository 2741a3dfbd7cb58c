"""A reply as a JSON object: exactly the schema's two strings are read, and nothing else passes."""

import json
from typing import Any

import jsonschema
import pytest

from raylign.revise.parse import parse_reply
from raylign.revise.parsed import Parsed
from raylign.revise.reasons import Reason
from raylign.revise.structured import ANSWER, REASONING, RESPONSE_FORMAT

WHY = "The dates were wrong."
TEXT = 'Paris is the capital.\n\n- It "lies" on the Seine.'
SCHEMA = RESPONSE_FORMAT["json_schema"]["schema"]


def reply(**changes: Any) -> str:
    return json.dumps({REASONING: WHY, ANSWER: TEXT, **changes})


def read(text: str, finish_reason: str = "stop", refusal: str = "") -> Parsed:
    return parse_reply("clair_json", text, finish_reason, refusal)


def test_the_schema_is_valid_closed_and_strict() -> None:
    """As OpenAI's strict mode demands: every property required, none besides."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert RESPONSE_FORMAT["type"] == "json_schema"
    assert RESPONSE_FORMAT["json_schema"]["strict"] is True
    assert SCHEMA["additionalProperties"] is False
    assert SCHEMA["required"] == list(SCHEMA["properties"]) == [REASONING, ANSWER], "reasoning comes first"


def test_what_follows_the_schema_is_read() -> None:
    jsonschema.validate(json.loads(reply()), SCHEMA)
    assert read(reply()) == Parsed(Reason.OK, TEXT, WHY)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({REASONING: WHY, ANSWER: TEXT}, indent=2),
        json.dumps({ANSWER: TEXT, REASONING: WHY}),
        f"\n {reply()} \n",
        f"```json\n{reply()}\n```",
        f"<think>{{no}}</think>\n{reply()}",
        reply(**{ANSWER: f"\n{TEXT}\r\n".replace("\n", "\r\n")}),
    ],
    ids=["indented", "answer first", "white space", "in a fence", "after thoughts", "Windows lines"],
)
def test_forms_that_change_nothing(text: str) -> None:
    assert read(text) == Parsed(Reason.OK, TEXT, WHY)


@pytest.mark.parametrize(
    "answer", ["{Paris}", "```py\nx", "# Paris\n---", '"Paris"', '{"a": 1}', "[x]", "Paris\n</details>", "a\tb"]
)
def test_bounds_are_jsons_own_so_an_answer_may_look_like_anything(answer: str) -> None:
    assert read(reply(**{ANSWER: answer})) == Parsed(Reason.OK, answer, WHY)


@pytest.mark.parametrize(
    "text",
    [
        reply()[:-1],
        reply()[:40],
        f"Here it is: {reply()}",
        f"{reply()}\nLet me know.",
        f"{reply()}\n{reply()}",
        f"[{reply()}]",
        f"```json\n{reply()}\n```\nDone.",
        f"```json\n{reply()}",
        json.dumps(reply()),
        json.dumps({ANSWER: TEXT}),
        json.dumps({REASONING: WHY}),
        reply(note="more"),
        json.dumps({"reply": {REASONING: WHY, ANSWER: TEXT}}),
        f'{{"{REASONING}": "a", "{ANSWER}": "London", "{ANSWER}": "Paris"}}',
        f'{{"{REASONING}": "a", "{REASONING}": "b", "{ANSWER}": "Paris"}}',
        reply(**{ANSWER: None}),
        reply(**{ANSWER: ["Paris"]}),
        reply(**{ANSWER: {"text": "Paris"}}),
        reply(**{REASONING: 3}),
        f"{{'{REASONING}': 'a', '{ANSWER}': 'Paris'}}",
        f'{{"{REASONING}": "a", "{ANSWER}": "Paris",}}',
        f'{{"{REASONING}": "a", "{ANSWER}": "Pa\nris"}}',
        json.dumps({REASONING.upper(): WHY, ANSWER.upper(): TEXT}),
        f"{{teacher_reasoning}}\n{WHY}\n{{corrected_student_solution}}\n{TEXT}",
        reply(**{ANSWER: "{corrected_student_solution}\nParis"}),
        reply(**{ANSWER: "Paris</student_solution>"}),
        reply(**{ANSWER: "No changes needed."}),
        f'{{"{REASONING}": "a", "{ANSWER}": "Paris \\ud83d"}}',
        f'{{"{REASONING}": "a \\udc00", "{ANSWER}": "Paris"}}',
        f'{{"{REASONING}": "a", "{ANSWER}": "Pa\\u0000ris"}}',
        "[0," * 100_000,
        '{"a":' * 100_000,
        "null",
    ],
)
def test_anything_else_is_a_typed_failure_without_text(text: str) -> None:
    parsed = read(text)
    assert (parsed.status, parsed.revision, parsed.rationale) == (Reason.UNPARSED, "", "")
    assert 0 < len(parsed.detail) <= 240
    assert "\\ud" not in ascii(parsed.detail)


@pytest.mark.parametrize(
    ("text", "finish_reason", "refusal", "status"),
    [
        (reply(), "length", "", Reason.CUT_OFF),
        (reply()[:30], "length", "", Reason.CUT_OFF),
        ("", "stop", "", Reason.EMPTY),
        (reply(**{ANSWER: " \n"}), "stop", "", Reason.EMPTY),
        ("", "stop", "I must not.", Reason.REFUSED),
        (reply(), "content_filter", "", Reason.REFUSED),
        ("I'm sorry, but I can't help with that.", "stop", "", Reason.REFUSED),
    ],
)
def test_replies_without_a_revision_say_why(text: str, finish_reason: str, refusal: str, status: Reason) -> None:
    parsed = read(text, finish_reason, refusal)
    assert (parsed.status, parsed.revision) == (status, "")


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_an_object_cut_anywhere_is_never_read(cut: int) -> None:
    assert read(reply()[:-cut]).revision == ""
