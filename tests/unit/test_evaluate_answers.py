"""Asking both models over real HTTP: bounded concurrency, retries, counted failures, and going on after a stop."""

import signal
from pathlib import Path

import pytest
from provider import Provider

from raylign.config import EvaluateConfig
from raylign.errors import EndpointError
from raylign.evaluate.answers import ask
from raylign.evaluate.rows import Answer, Question, latest, questions
from raylign.parts import PartWriter, read_records
from raylign.records import Message, Prompt

PROMPTS = [
    Prompt(f"p{index}", [Message(role="user", content=f"Question {index}?")], "heldout", "t") for index in range(10)
]
ASKED = questions(PROMPTS, {"base": "b", "aligned": "a"}, "{}")
MODELS = ("base", "aligned")


def ask_into(folder: Path, asked: list[Question], provider: Provider, **settings: object) -> dict[str, Answer]:
    config = EvaluateConfig(**{"max_attempts": 2, **settings})  # type: ignore[arg-type]
    with PartWriter(folder, Answer) as writer:
        ask(asked, provider.url, config, 0, writer, lambda answered: None)
    return latest(read_records(folder, Answer))


def test_every_question_is_answered_within_the_bound(tmp_path: Path) -> None:
    with Provider(models=MODELS, latency_seconds=0.03) as provider:
        answers = ask_into(tmp_path, ASKED, provider, requests_in_flight=4)
    assert set(answers) == {question.id for question in ASKED}
    assert {answer.status for answer in answers.values()} == {"ok"}
    assert 2 <= provider.most_in_flight <= 4
    one = answers[ASKED[0].id]
    assert (one.answer, one.answer_tokens, one.finish_reason) == ("Short and clear: Question 0?", 5, "stop")


def test_a_passing_failure_is_tried_again_and_a_lasting_one_is_a_row(tmp_path: Path) -> None:
    """Each conversation is asked for both models; its first request fails, and one conversation always does."""

    def fault(number: int, asked_before: int) -> str:
        return "error_500" if asked_before == 0 or number in lasting else ""

    lasting: set[int] = set()
    with Provider(models=MODELS, fault=fault) as provider:
        answers = ask_into(tmp_path / "passing", ASKED[:2], provider, requests_in_flight=1)
        assert sorted(answer.attempts for answer in answers.values()) == [1, 2]
        lasting.update(range(1000))
        answers = ask_into(tmp_path / "lasting", ASKED[2:3], provider)
    row = answers[ASKED[2].id]
    assert (row.status, row.answer, row.attempts) == ("server_error", "", 2)
    assert "bad moment" in row.detail


def test_an_unknown_model_stops_and_names_it(tmp_path: Path) -> None:
    with (
        Provider(models=("base",)) as provider,
        pytest.raises(EndpointError, match="'aligned'"),
    ):
        ask_into(tmp_path, ASKED, provider)


def test_a_wrong_key_stops_and_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALUATION_KEY", "sk-wrong-one")
    with (
        Provider(models=MODELS, key="sk-right-one") as provider,
        pytest.raises(EndpointError, match="EVALUATION_KEY") as caught,
    ):
        ask_into(tmp_path, ASKED, provider, api_key_env="EVALUATION_KEY")
    assert "sk-wrong-one" not in str(caught.value)


def test_what_was_answered_before_a_stop_is_on_disk(tmp_path: Path) -> None:
    def stop(answered: int) -> None:
        if answered == 7:
            signal.raise_signal(signal.SIGINT)  # what Ctrl-C sends

    with Provider(models=MODELS) as provider:
        with PartWriter(tmp_path, Answer) as writer, pytest.raises(KeyboardInterrupt):
            ask(ASKED, provider.url, EvaluateConfig(requests_in_flight=2), 0, writer, stop)
        kept = {answer.id for answer in read_records(tmp_path, Answer)}
        assert len(kept) >= 7
        answers = ask_into(tmp_path, [question for question in ASKED if question.id not in kept], provider)
    assert set(answers) == {question.id for question in ASKED}
    assert len(read_records(tmp_path, Answer)) == len(ASKED)
