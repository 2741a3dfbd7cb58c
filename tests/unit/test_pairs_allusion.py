"""An answer that speaks of being a revision is told from one that speaks of revisions in the world."""

import json
from pathlib import Path

import pytest

from raylign.pairs.allusion import allusion_in
from raylign.records import Message
from raylign.revise.parse import parse_clair

DRAFT = "Water boils at 90 degrees at sea level."


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


ASKED = user("At what temperature does water boil?")
ALLUSIONS = [
    "Here is an improved answer: water boils at 100 degrees.",
    "Here's the corrected version:\n\nWater boils at 100 degrees.",
    "Here is a revised and more complete response. Water boils at 100 degrees.",
    "Below is the corrected solution.\n\nWater boils at 100 degrees.",
    "The following is a refined version of the answer: 100 degrees.",
    "Here’s a clearer explanation: it boils at 100 degrees.",
    "**Revised answer:** Water boils at 100 degrees.",
    "### Corrected version\n\nWater boils at 100 degrees.",
    "Water boils at 100 degrees. In this corrected solution, the pressure is named as well.",
    "Water boils at 100 degrees. This revised response is more accurate.",
    "Water boils at 100 degrees. The revised version names the right number.",
    "The corrected answer is 100 degrees.",
    "This improved explanation names the pressure: 100 degrees at sea level.",
    "In the student's solution the number is too low; it is 100 degrees.",
    "The student’s answer confuses two scales. Water boils at 100 degrees.",
    "As the teacher's reasoning shows, it is 100 degrees.",
    "I have rewritten the answer: water boils at 100 degrees.",
    "I've corrected the previous explanation: it is 100 degrees.",
    "I have revised it to be accurate. Water boils at 100 degrees.",
    "I rewrote the response: water boils at 100 degrees.",
    "As corrected, the number is 100 degrees.",
    "The number, as revised above, is 100 degrees.",
    "Water boils at 100 degrees.\n\nChanges made:\n- the number",
    "Water boils at 100 degrees. The previous answer was wrong by ten.",
    "Unlike the original response, this one has the right number: 100 degrees.",
    "My previous answer gave 90, but it is 100 degrees.",
    "Water boils at 100 degrees. This revision keeps the sentence short.",
]
OF_THE_WORLD = [
    "Water boils at 100 degrees at sea level.",
    "A corrected map of the coast was printed in 1802.",
    "The original solution was diluted with water and boiled again.",
    "The Revised Version was published in 1885.",
    "The revised version of the treaty was signed in Nice.",
    "The corrected solution of the equation by Euler is a series.",
    "Quicksort is an improved version of partition-exchange sort.",
    "Here's an updated example script:\n\nprint('hello')",
    "Here is an improved version of bubble sort that stops early.",
    "Here is an updated list of the members: Ann, Bo and Cy.",
    "The Housing Act of 1996, as amended, applies to tenants.",
    "The Berne Convention, as revised in 1971, covers films.",
    "The initial response was slow, and the city burned.",
    "The original draft was written by Jefferson.",
    "I have updated the status of your order; it ships tomorrow.",
    "I have improved my Spanish this year.",
    "I corrected the girl's pronunciation and we both laughed.",
    "She revised for her exams until midnight.",
    "The teacher praised the student's work on the stage.",
    "Changes made by the parliament in 1992 took effect a year later.",
    "The better answer to grief is company.",
    "Our revised approach to hiring starts with the team.",
    "This edition corrects the errors of the first.",
    "Please find the edited photos in the folder below.",
    "An improved solution found by annealing costs less.",
]


@pytest.mark.parametrize("chosen", ALLUSIONS)
def test_an_answer_that_speaks_of_its_revision_is_caught_with_its_words(chosen: str) -> None:
    found = allusion_in(chosen, DRAFT, ASKED)
    assert found
    assert found in chosen


@pytest.mark.parametrize("chosen", OF_THE_WORLD)
def test_an_answer_about_revisions_in_the_world_passes(chosen: str) -> None:
    assert allusion_in(chosen, DRAFT, ASKED) == ""


@pytest.mark.parametrize(
    "prompt",
    [
        "Revise my essay: Water boil at 90 degree.",
        "Could you proofread this? Water boil at 90 degree.",
        "Please rewrite it for a child: water boils at 100 degrees.",
        "Correct the grammar of this sentence: Water boil.",
        "Improve the following paragraph. Water boils.",
        "What is wrong with my code? print('hello'",
        "Can you fix this Python function? def f(: pass",
        "Make a better version of this text: water boils.",
    ],
)
def test_a_user_who_asks_for_a_revision_gets_one(prompt: str) -> None:
    chosen = "Here is the revised version:\n\nWater boils at 100 degrees."
    assert allusion_in(chosen, DRAFT, user(prompt)) == ""
    assert allusion_in(f"{chosen}\n\nThe student's solution had 90.", DRAFT, user(prompt)) == "The student's solution"


@pytest.mark.parametrize(
    "prompt",
    [
        "Write a program that prints the correct output.",
        "How can I improve my sleep?",
        "Modify the loop so that it stops at ten.",
        "How do I fix a dripping tap?",
    ],
)
def test_a_prompt_that_only_uses_such_a_word_asks_for_no_revision(prompt: str) -> None:
    assert (
        allusion_in("Here is the revised version: Water boils.", DRAFT, user(prompt)) == "Here is the revised version"
    )


def test_words_of_the_prompt_or_the_draft_are_no_allusion() -> None:
    chosen = "The corrected answer is 12, and the student's answer was 13."
    asked = user("The student wrote 13 and the corrected answer was 12. Who is right?")
    assert allusion_in(chosen, DRAFT, ASKED) == "the student's answer"
    assert allusion_in(chosen, DRAFT, asked) == ""
    assert allusion_in(chosen, "Corrected, it is 12; the student has 13.", ASKED) == ""
    # `corrected` is not `correct`: the prompt must hold the word itself.
    assert allusion_in("The corrected answer is 12.", DRAFT, user("What is the correct output?")) != ""


def test_an_earlier_answer_in_the_conversation_can_be_spoken_of() -> None:
    conversation = [*ASKED, Message(role="assistant", content="At 90."), *user("Are you sure?")]
    assert allusion_in("My previous answer was wrong: it is 100.", DRAFT, conversation) == ""
    assert allusion_in("The student's answer was wrong: it is 100.", DRAFT, conversation) == "The student's answer"


def test_real_replies(shared_data: Path) -> None:
    """Of eight replies of gpt-4 to the paper's own prompt, a person marked the two that allude to a revision."""
    lines = (shared_data / "clair_replies.jsonl").read_text(encoding="utf-8").splitlines()
    found = {
        record["id"]: allusion_in(
            parse_clair(record["reply"]).revision, record["student_solution"], user(record["task"])
        )
        for record in map(json.loads, lines)
    }
    marked = {record["id"] for record in map(json.loads, lines) if record["alludes_to_revision"]}
    assert len(marked) == 2
    assert {name for name, phrase in found.items() if phrase} == marked, found
