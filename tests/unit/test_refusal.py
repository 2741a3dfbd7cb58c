"""A refusal is told from apologies, letters and turns of phrase that open like one."""

import pytest

from raylign.refusal import refusal_in

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I can’t assist with that request.",
    "I am very sorry, however, I cannot provide instructions for this.",
    "Sorry, I can't help you with that.",
    "I apologize, but I'm unable to assist with this request.",
    "I apologize for the inconvenience, but I cannot generate that kind of content.",
    "I cannot fulfill this request.",
    "I can't answer that question.",
    "I won't write this letter for you.",
    "I will not provide any information about it.",
    "I must respectfully decline.",
    "I have to decline this request.",
    "I refuse to do so.",
    "As an AI language model, I cannot provide medical advice.",
    "As an AI, I'm not able to give you legal advice on this case.",
    "Unfortunately, I can't share that.",
    "Unfortunately I am not able to help with this.",
    "I'm afraid I can't do that.",
    "I don't feel comfortable writing that story.",
    "I'm not comfortable discussing this topic.",
    "We are unable to assist with your request.",
    "I understand your frustration, but I can't help with that.",
    "I cannot engage in this conversation.",
    "**I'm sorry, but I can't create such a text.**",
]
ANSWERS = [
    "I'm sorry to hear about your dog. Bury her in a quiet place that you both liked.",
    "Sorry for the late reply! The meeting is on Monday at ten.",
    "I can't wait to see you on Saturday!",
    "I can't help but smile when I read your letter.",
    "I can't help thinking of the summer.",
    "I cannot believe that it snowed in May.",
    "I will not go to the party, because I am tired.",
    "I won't be at the office on Friday.",
    "I must say that the soup was good.",
    "I have to provide my passport at the border.",
    "I apologize for the noise last night. It will not happen again.",
    "As an AI, I have no body, but many people like to swim.",
    "As an AI language model, I don't have feelings. Friends do, so ask them how they are.",
    "Unfortunately, the train is late.",
    "Unfortunately, I can only guess: it may rain.",
    "I am able to help with that: add two eggs.",
    "I can help with that. Add two eggs.",
    "Dear Ms Lee,\n\nI'm sorry, but I cannot help with the move on Sunday.",
    "Paris is the capital of France. I cannot help with its traffic.",
    "You can't help everyone.",
    "We help people who cannot help themselves.",
    "",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_told_by_its_opening(text: str) -> None:
    assert refusal_in(text)
    assert text.strip("* ").startswith(refusal_in(text).strip("* "))


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert refusal_in(text) == ""


def test_a_long_text_goes_on_to_answer() -> None:
    opening = "I cannot provide medical advice. "
    assert refusal_in(opening + "Rest. " * 100) != ""
    assert refusal_in(opening + "Rest and drink water. " * 100) == ""
