"""Rows of existing preference data sets are read in every common form; what cannot be read says why."""

from typing import Any

import pytest

from raylign.config import OffpolicyConfig
from raylign.pairs.imported import Answer, Imported, Single, read_row
from raylign.prompts.normalise import Problem, prompt_id
from raylign.records import Message

FIELDS = OffpolicyConfig()
USER: Message = {"role": "user", "content": "Why is the sky blue?"}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def read(row: object, **settings: Any) -> Imported:
    found = read_row(row, OffpolicyConfig(**settings), seed=0)
    assert isinstance(found, Imported), found
    return found


def texts(found: Imported) -> tuple[str, str]:
    return found.chosen.text, found.rejected.text


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why is the sky blue?", "chosen": "Light.", "rejected": "Paint."},
        {"prompt": " Why is the sky blue?\r\n", "chosen": [assistant("Light.")], "rejected": [assistant("Paint.")]},
        {"prompt": [USER], "chosen": [assistant("Light.")], "rejected": [assistant("Paint.")]},
        {"messages": [USER], "chosen": "Light.", "rejected": [assistant("Paint.")]},
        {"chosen": [USER, assistant("Light.")], "rejected": [USER, assistant("Paint.")]},
        {"prompt": "As a title only", "chosen": [USER, assistant("Light.")], "rejected": [USER, assistant("Paint.")]},
        {"messages": [USER, assistant("Light.")], "prompt": "x", "chosen": "Light.", "rejected": "Paint."},
        {"prompt": "Why is the sky blue?", "completions": None, "chosen": " Light.\n", "rejected": "Paint."},
    ],
    ids=["texts", "turns", "prompt of turns", "messages", "implicit prompt", "both", "messages with answer", "spaces"],
)
def test_every_form_gives_the_same_prompt_and_answers(row: dict[str, Any]) -> None:
    found = read(row)
    assert found.messages == [USER]
    assert texts(found) == ("Light.", "Paint.")
    assert prompt_id(found.messages) == prompt_id([USER]), "the id that a prompt file would give it"
    assert found.tie == ""


def test_a_conversation_of_several_turns_keeps_them_in_the_prompt() -> None:
    context = [
        {"role": "system", "content": "Be kind."},
        USER,
        assistant("Light."),
        {"role": "user", "content": "Why?"},
    ]
    found = read({"chosen": [*context, assistant("Scattering.")], "rejected": [*context, assistant("No idea.")]})
    assert [turn["role"] for turn in found.messages] == ["system", "user", "assistant", "user"]
    assert texts(found) == ("Scattering.", "No idea.")


def test_models_are_those_that_the_row_names() -> None:
    row = {"prompt": "Why?", "chosen": "A.", "rejected": "B.", "chosen_model": "strong", "rejected_model": " "}
    found = read(row)
    assert (found.chosen.model, found.rejected.model) == ("strong", "unknown")


def test_fields_go_by_their_configured_names() -> None:
    row = {"question": "Why?", "good": "A.", "bad": "B.", "chosen": "no", "rejected": "no"}
    assert texts(read(row, prompt_field="question", chosen_field="good", rejected_field="bad")) == ("A.", "B.")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("text", "not_object"),
        ({"prompt": "Why?", "chosen": "A."}, "no_answers"),
        ({"prompt": "Why?"}, "no_answers"),
        ({"chosen": "A.", "rejected": "B."}, "no_prompt"),
        ({"prompt": " ", "chosen": "A.", "rejected": "B."}, "empty_prompt"),
        ({"prompt": "Why?", "chosen": 5, "rejected": "B."}, "wrong_type"),
        ({"prompt": "Why?", "chosen": [], "rejected": "B."}, "wrong_type"),
        ({"prompt": "Why?", "chosen": [{"role": "assistant"}], "rejected": "B."}, "wrong_type"),
        ({"prompt": "Why?", "chosen": [{"role": ["x"], "content": "A."}], "rejected": "B."}, "bad_role"),
        ({"prompt": "Why?", "chosen": [assistant("A.")], "rejected": [{"role": "bot", "content": "B."}]}, "bad_role"),
        ({"chosen": [USER], "rejected": [USER, assistant("B.")]}, "bad_turns"),
        ({"chosen": [USER, USER, assistant("A.")], "rejected": [USER, assistant("B.")]}, "bad_turns"),
        ({"prompt": "Why?", "chosen": "A \ud83d", "rejected": "B."}, "bad_encoding"),
        (
            {"chosen": [USER, assistant("A.")], "rejected": [{"role": "user", "content": "Else?"}, assistant("B.")]},
            "different_prompts",
        ),
        ({"prompt": "Why?", "completions": {"response": "A."}}, "wrong_type"),
        ({"prompt": "Why?", "completions": [{"response": "A.", "overall_score": 3}]}, "too_few_scores"),
    ],
)
def test_what_cannot_be_read_has_a_reason(row: object, reason: str) -> None:
    found = read_row(row, FIELDS, seed=0)
    assert isinstance(found, Problem)
    assert found.reason == reason
    assert found.detail


def test_an_empty_answer_is_left_to_the_filters() -> None:
    assert texts(read({"prompt": "Why?", "chosen": "A.", "rejected": " \n"})) == ("A.", "")


def scored(*scores: Any, **more: Any) -> dict[str, Any]:
    completions = [
        {"response": f"Answer {index}.", "overall_score": score, "model": f"model-{index}"}
        for index, score in enumerate(scores)
    ]
    return {"prompt": "Why?", "completions": completions, **more}


def test_the_best_scored_answer_is_set_against_the_worst() -> None:
    found = read(scored(3, 8.5, 1, 8))
    assert (found.chosen, found.rejected) == (Answer("Answer 1.", "model-1"), Answer("Answer 2.", "model-2"))


def test_against_random_draws_any_other_answer_and_the_same_one_each_time() -> None:
    rows = [scored(3, 8.5, 1, 8) | {"prompt": f"Why {number}?"} for number in range(60)]
    drawn = [texts(read(row, against="random")) for row in rows]
    assert {chosen for chosen, _ in drawn} == {"Answer 1."}
    assert {rejected for _, rejected in drawn} == {"Answer 0.", "Answer 2.", "Answer 3."}
    assert drawn == [texts(read(row, against="random")) for row in rows]


def test_another_seed_draws_other_answers() -> None:
    config = OffpolicyConfig(against="random")
    rows = [scored(3, 8.5, 1, 8) | {"prompt": f"Why {number}?"} for number in range(20)]
    first, second = ([read_row(row, config, seed) for row in rows] for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize("scores", [(5, 5), (7, 7.0, "7")])
def test_equal_scores_are_a_tie(scores: tuple[Any, ...]) -> None:
    found = read(scored(*scores))
    assert found.tie == f"both answers score {scores[0]}"


def test_scores_are_numbers_also_as_text_and_others_are_passed_over() -> None:
    found = read(scored("4", "N/A", None, True, float("nan"), float("inf"), "9.5", 10**400))
    assert texts(found) == ("Answer 6.", "Answer 0.")


def test_scored_answers_go_by_their_configured_names() -> None:
    row = {"prompt": "Why?", "answers": [{"text": "A.", "rating": 1}, {"text": "B.", "rating": 2}]}
    found = read(row, completions_field="answers", response_field="text", score_field="rating")
    assert texts(found) == ("B.", "A.")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why is the sky blue?", "completion": "Light.", "label": True},
        {"prompt": [USER], "completion": [assistant(" Light.\n")], "label": 1},
        {"messages": [USER], "completion": "Light.", "label": True, "chosen": None},
        {"completion": [USER, assistant("Light.")], "label": True},
    ],
    ids=["texts", "turns", "messages", "implicit prompt"],
)
def test_every_form_of_a_single_answer_is_read(row: dict[str, Any]) -> None:
    assert read_row(row, FIELDS, seed=0) == Single([USER], Answer("Light.", "unknown"), desirable=True)


def test_a_single_answers_columns_can_have_other_names() -> None:
    row = {"prompt": "Why is the sky blue?", "answer": "Paint.", "desirable": False, "model": "m"}
    fields = OffpolicyConfig(answer_field="answer", desirable_field="desirable")
    assert read_row(row, fields, seed=0) == Single([USER], Answer("Paint.", "m"), desirable=False)


@pytest.mark.parametrize("label", [None, "true", 0.5, [True]])
def test_a_single_answer_without_a_verdict_says_so(label: object) -> None:
    found = read_row({"prompt": "Why?", "completion": "Light.", "label": label}, FIELDS, seed=0)
    assert isinstance(found, Problem)
    assert found.reason == "no_verdict"
    assert "'label' is" in found.detail
