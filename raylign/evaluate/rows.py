"""The row an evaluation keeps: one model's answer to one held-out prompt, and how its id is made. Pure."""

from dataclasses import dataclass
from typing import Literal

from raylign.records import Prompt, canonical_json, content_id

Side = Literal["base", "aligned"]
SIDES: tuple[Side, ...] = ("base", "aligned")


@dataclass(frozen=True)
class Answer:
    """A model's answer to a held-out prompt, or why there is none."""

    id: str
    prompt_id: str
    model: str
    """`base` or `aligned`: the name it is served under."""
    weights: str
    """Which weights that was: a path or hub id for the base model, a checksum for the checkpoint."""
    sampling: str
    """Sampling parameters as canonical JSON."""
    answer: str
    answer_tokens: int
    """Tokens the endpoint counted in the answer."""
    finish_reason: str
    """`stop` where the model ended by itself, `length` where the limit cut it."""
    status: str
    """`ok`, or a reason from `raylign.revise.reasons`."""
    detail: str
    attempts: int


@dataclass(frozen=True)
class Question:
    """One request of an evaluation: which model gets which prompt."""

    id: str
    prompt: Prompt
    model: Side
    weights: str
    sampling: str


def sampling_text(max_tokens: int, temperature: float) -> str:
    """Sampling parameters as canonical JSON."""
    return canonical_json({"max_tokens": max_tokens, "temperature": temperature})


def questions(prompts: list[Prompt], weights: dict[Side, str], sampling: str) -> list[Question]:
    """Every prompt to both models, a prompt's two requests next to each other, so that both meet the same load."""
    return [
        Question(
            content_id("answer", prompt.id, model, weights[model], sampling), prompt, model, weights[model], sampling
        )
        for prompt in prompts
        for model in SIDES
    ]


def latest(answers: list[Answer]) -> dict[str, Answer]:
    """The last row written for each id: a request that failed once and was asked again counts once."""
    return {answer.id: answer for answer in answers}
