"""An evaluation's figures from answers whose every figure can be worked out by hand."""

from dataclasses import replace

import pytest

from raylign.evaluate.answering import Answering
from raylign.evaluate.compare import Score, figures, paired
from raylign.evaluate.rows import Answer, Contestant, Question, latest, questions
from raylign.records import Message, Prompt
from raylign.revise.failures import Failure
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply
from raylign.revise.rows import Call

PROMPTS = [
    Prompt(f"p{index}", [Message(role="user", content=f"Question {index}?")], "heldout", "t") for index in range(4)
]
MODELS = [Contestant("base", "bundled"), Contestant("aligned", "sha256:1")]
ASKED = questions(PROMPTS, MODELS, 16, 0.0)


def reply(text: str, tokens: int, finish_reason: str = "stop") -> Reply:
    return Reply(text, finish_reason, refusal="", prompt_tokens=5, reply_tokens=tokens, request_id="r")


def to_answer(question: Question, outcome: Reply | Failure) -> Answer:
    return Answering(needs_tokens=True).to_row(question, Call(outcome, 1, 0.1))


def answer_of(question: Question, text: str, tokens: int, finish_reason: str = "stop") -> Answer:
    return to_answer(question, reply(text, tokens, finish_reason))


def all_answers() -> dict[str, Answer]:
    rows = []
    for question in ASKED:
        if question.model == "base":
            rows.append(answer_of(question, "a b a b a b a", 16, "length"))
        else:
            rows.append(answer_of(question, "one short clear sentence", 4))
    return latest(rows)


def test_figures_by_hand() -> None:
    """16 tokens to 4 is −75 % for every prompt, so for every resample; 2 of 4 runs of the base's answers repeat.

    Four answers that all end within the limit now leave room for some that do not: of six with one the other way, at
    2.5%, between 0.9% for at least four and 6.2% for three, three of a resample's six are that one: (3 − 3) / 6.
    """
    both = paired(ASKED, all_answers())
    scores = {"base": [Score(-16.0, 8)] * 4, "aligned": [Score(-2.0, 4)] * 4}
    assert figures(both, scores, failed=0, resamples=200, seed=0) == {
        "prompts": 4,
        "failed": 0,
        "tokens_base": 16.0,
        "tokens_aligned": 4.0,
        "change_percent": -75.0,
        "ci95": [-75.0, -75.0],
        "ended_within_limit": {"base": 0.0, "aligned": 1.0, "change": 1.0, "ci95": [0.0, 1.0]},
        "guards": {"empty_share": 0.0, "repeated_4grams": 0.0, "logprob_under_base": -0.5},
        "base_guards": {"empty_share": 0.0, "repeated_4grams": 0.5, "logprob_under_base": -2.0},
    }


def test_a_prompt_that_one_model_failed_is_in_no_figure() -> None:
    answers = all_answers()
    lost = ASKED[1]
    answers[lost.id] = to_answer(lost, Failure(Reason.TIMEOUT, "no reply"))
    both = paired(ASKED, answers)
    assert [answer.prompt_id for answer in both["base"]] == ["p1", "p2", "p3"]
    assert [answer.prompt_id for answer in both["aligned"]] == ["p1", "p2", "p3"]


def test_one_prompt_has_a_change_and_no_interval() -> None:
    both = paired(ASKED[:2], all_answers())
    found = figures(both, {"base": [Score(-1.0, 1)], "aligned": [Score(-1.0, 1)]}, failed=0, resamples=100, seed=0)
    assert (found["change_percent"], found["ci95"]) == (-75.0, None)
    assert "one prompt" in found["note"]


def test_the_last_row_of_a_question_counts() -> None:
    failed = to_answer(ASKED[0], Failure(Reason.SERVER_ERROR, "bad moment"))
    assert latest([failed, answer_of(ASKED[0], "yes", 1)])[ASKED[0].id].status == "ok"


def test_a_reply_without_a_token_count_is_a_failure_and_not_a_short_answer() -> None:
    row = answer_of(ASKED[0], "Some text", 0)
    assert (row.status, row.answer) == ("bad_response", "")
    assert "completion_tokens" in row.detail


def test_an_empty_answer_is_an_answer() -> None:
    row = answer_of(ASKED[0], "", 0)
    assert row.status == "ok"


@pytest.mark.parametrize(
    "other",
    [
        questions(PROMPTS, [Contestant("base", "x"), Contestant("aligned", "sha256:2")], 16, 0.0),
        questions(PROMPTS, MODELS, 17, 0.0),
        questions([replace(prompt, id=f"other-{prompt.id}") for prompt in PROMPTS], MODELS, 16, 0.0),
    ],
    ids=["weights", "sampling", "prompt"],
)
def test_ids_tell_questions_apart(other: list[Question]) -> None:
    assert {question.id for question in ASKED}.isdisjoint({question.id for question in other})
    assert len({question.id for question in ASKED}) == 8


def test_an_answer_that_the_provider_withheld_is_refused_and_no_empty_answer() -> None:
    """What a suite takes for the model's own silence must be that."""
    for withheld in (Reply("", "content_filter"), Reply("", "stop", refusal="I cannot help with that")):
        row = to_answer(ASKED[0], withheld)
        assert (row.status, row.answer) == ("refused", "")
