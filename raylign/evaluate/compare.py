"""The figures of an evaluation from its answers and their scores. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raylign.evaluate.guards import empty_share, ended_share, mean_token_logprob
from raylign.evaluate.rows import SIDES, Answer, Question, Side
from raylign.evaluate.statistics import Estimate, mean_difference, relative_change
from raylign.repetition import repeated_4grams


@dataclass(frozen=True)
class Score:
    """An answer's log-probability under the base model, given its prompt."""

    logprob_sum: float
    """Summed over the answer's tokens, in nats."""
    tokens: int


def paired(asked: Sequence[Question], answers: dict[str, Answer]) -> dict[Side, list[Answer]]:
    """Answers of the prompts that both models answered, in the same order for both."""
    by_prompt: dict[str, dict[str, Answer]] = {}
    for question in asked:
        answer = answers.get(question.id)
        if answer is not None and answer.status == "ok":
            by_prompt.setdefault(question.task_id, {})[question.model] = answer
    both = [found for found in by_prompt.values() if len(found) == len(SIDES)]
    return {side: [found[side] for found in both] for side in SIDES}


def figures(
    answers: dict[Side, list[Answer]], scores: dict[Side, list[Score]], failed: int, resamples: int, seed: int
) -> dict[str, Any]:
    """The `evaluate` part of a run's summary.

    Args:
        answers: both models' answers to the same prompts, in the same order.
        scores: their scores under the base model, in that order too.
        failed: requests that got no answer; their prompts are in no figure.
    """
    tokens = {side: [float(answer.answer_tokens) for answer in answers[side]] for side in SIDES}
    ended = {side: [float(answer.finish_reason == "stop") for answer in answers[side]] for side in SIDES}
    change = relative_change(tokens["base"], tokens["aligned"], resamples=resamples, seed=seed)
    ended_change = mean_difference(ended["base"], ended["aligned"], resamples=resamples, seed=seed)
    found: dict[str, Any] = {
        "prompts": len(tokens["base"]),
        "failed": failed,
        "tokens_base": _rounded(sum(tokens["base"]) / max(1, len(tokens["base"]))),
        "tokens_aligned": _rounded(sum(tokens["aligned"]) / max(1, len(tokens["aligned"]))),
        "change_percent": _rounded(change.value),
        "ci95": _rounded_interval(change),
        "ended_within_limit": {
            **{side: _rounded(ended_share([answer.finish_reason for answer in answers[side]])) for side in SIDES},
            "change": _rounded(ended_change.value),
            "ci95": _rounded_interval(ended_change),
        },
        "guards": _guards(answers["aligned"], scores["aligned"]),
        "base_guards": _guards(answers["base"], scores["base"]),
    }
    if change.reason:
        found["note"] = change.reason
    return found


def _guards(answers: list[Answer], scores: list[Score]) -> dict[str, float | None]:
    texts = [answer.answer for answer in answers]
    logprob = mean_token_logprob([score.logprob_sum for score in scores], [score.tokens for score in scores])
    return {
        "empty_share": _rounded(empty_share(texts)),
        "repeated_4grams": _rounded(repeated_4grams(texts)),
        "logprob_under_base": _rounded(logprob),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _rounded_interval(estimate: Estimate) -> list[float] | None:
    interval = estimate.interval
    return None if interval is None else [round(bound, 4) for bound in interval]
