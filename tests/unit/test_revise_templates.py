"""What the reviser is sent, and what of it makes a revision another one."""

import pickle

import pytest

from raylign.config import ReviseConfig
from raylign.records import Message
from raylign.revise.structured import RESPONSE_FORMAT
from raylign.revise.templates import load_template, render_conversation, revision_id

QUESTION: list[Message] = [{"role": "user", "content": "Why {{ answer }} <b>?"}]


def test_clair_asks_for_reasoning_before_the_answer_and_shows_the_draft() -> None:
    system, user = load_template(ReviseConfig(template="clair")).messages(QUESTION, "Because 7*6={{42}}.")
    assert (system["role"], user["role"]) == ("system", "user")
    text = user["content"]
    assert "Why {{ answer }} <b>?" in text, "what users write is never read as a template, nor escaped"
    assert "Because 7*6={{42}}." in text
    assert text.index("{teacher_reasoning}") < text.index("{corrected_student_solution}")


def test_guideline_stands_after_the_users_words() -> None:
    messages = load_template(ReviseConfig(guideline=" Be brief. ")).messages(QUESTION, "Because.")
    assert messages[-1]["content"].endswith("<b>?\n\nBe brief.")


def test_clair_as_json_asks_for_the_schemas_properties_and_for_nothing_around() -> None:
    template = load_template(ReviseConfig(template="clair", reply_format="json_schema"))
    text = template.messages(QUESTION, "Because 7*6={{42}}.")[1]["content"]
    assert "Why {{ answer }} <b>?" in text
    assert "Because 7*6={{42}}." in text
    assert text.index('"teacher_reasoning"') < text.index('"corrected_student_solution"')
    assert "{teacher_reasoning}" not in text, "the spelling of the text form would contradict it"
    assert (template.name, template.response_format) == ("clair_json", RESPONSE_FORMAT)
    assert load_template(ReviseConfig(template="clair")).response_format is None


@pytest.mark.parametrize(
    ("changes", "form"),
    [
        ({"template": "clair"}, "{corrected_student_solution}"),
        ({"template": "clair", "reply_format": "json_schema"}, '"corrected_student_solution"'),
        ({}, "the answer itself and nothing else"),
    ],
)
def test_a_repair_shows_request_and_reply_says_what_is_wrong_and_names_the_form(
    changes: dict[str, str], form: str
) -> None:
    template = load_template(ReviseConfig(**changes))  # type: ignore[arg-type]
    messages = template.repair_messages(QUESTION, "Because.", "My {{ reply }} <i>", "no identifier {{ x }}")
    assert messages[:2] == template.messages(QUESTION, "Because.")
    assert messages[2] == {"role": "assistant", "content": "My {{ reply }} <i>"}
    assert messages[3]["role"] == "user"
    note = messages[3]["content"]
    assert "no identifier {{ x }}" in note
    assert form in note
    assert "add no new ideas" in note


def test_a_blank_reply_is_not_shown_but_asked_for_again() -> None:
    template = load_template(ReviseConfig(template="clair"))
    assert template.repair_messages(QUESTION, "Because.", " \n", "no text") == template.messages(QUESTION, "Because.")


def test_a_conversation_is_rendered_turn_by_turn() -> None:
    turns: list[Message] = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Arr"},
        {"role": "user", "content": "Where to?"},
    ]
    assert (
        render_conversation(turns)
        == "Instructions: You are a pirate.\n\nUser: Hello\n\nAssistant: Arr\n\nUser: Where to?"
    )


def test_a_stronger_model_gets_the_conversation_as_it_is_and_never_the_draft() -> None:
    turns: list[Message] = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Arr"},
        {"role": "user", "content": "Where to?"},
    ]
    template = load_template(ReviseConfig(template="clair", reply_format="json_schema"), "stronger")
    assert template.messages(turns, "The draft.") == turns
    assert (template.name, template.response_format) == ("direct", None)
    repair = template.repair_messages(turns, "The draft.", "<think>", "thoughts that do not end")
    assert repair[:4] == turns
    assert "the answer itself and nothing else" in repair[-1]["content"]


def test_the_stronger_models_answer_is_no_revision_of_another_template() -> None:
    revise = ReviseConfig(template="clair")
    templates = [load_template(revise, source) for source in ("clair", "stronger")]
    assert len({revision_id("d", revise, template) for template in templates}) == 2
    guided, unguided = (load_template(ReviseConfig(guideline=text), "stronger") for text in ("Be brief.", "Be long."))
    assert guided.version == unguided.version, "it never sees the guideline"


def test_a_template_travels_to_an_actor() -> None:
    template = load_template(ReviseConfig(template="clair"))
    travelled = pickle.loads(pickle.dumps(template))
    assert travelled.messages(QUESTION, "Because.") == template.messages(QUESTION, "Because.")
    assert travelled.version == template.version


def test_a_revision_is_another_one_when_what_made_it_is() -> None:
    def identify(draft: str = "d", **changes: object) -> str:
        revise = ReviseConfig(**changes)  # type: ignore[arg-type]
        return revision_id(draft, revise, load_template(revise))

    assert identify() == identify(requests_in_flight=7, base_url="http://127.0.0.1:1/v1", max_attempts=2)
    different = [
        identify(),
        identify("e"),
        identify(model="other"),
        identify(template="clair"),
        identify(template="clair", reply_format="json_schema"),
        identify(template="clair", max_repairs=1),
        identify(template="clair", max_repairs=2),
        identify(guideline="Be brief."),
        identify(max_tokens=7),
        identify(temperature=1.0),
    ]
    assert len(set(different)) == len(different)
    assert identify(template="clair", guideline="one") == identify(template="clair", guideline="two")


def test_the_ids_of_text_replies_without_repairs_are_those_of_earlier_runs() -> None:
    known = {
        "54802bfceb5d61d759a8de9ba163991b": ReviseConfig(),
        "1ab7711b26f9a374f246ee620ec13bb7": ReviseConfig(template="clair", model="gpt-4-turbo"),
    }
    for known_id, revise in known.items():
        assert revision_id("d", revise, load_template(revise)) == known_id
