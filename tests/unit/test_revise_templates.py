"""What the reviser is sent, and what of it makes a revision another one."""

from raylign.config import ReviseConfig
from raylign.records import Message
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
        identify(guideline="Be brief."),
        identify(max_tokens=7),
        identify(temperature=1.0),
    ]
    assert len(set(different)) == len(different)
    assert identify(template="clair", guideline="one") == identify(template="clair", guideline="two")
