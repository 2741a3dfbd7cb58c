"""What an evaluation asks, and the row it keeps: a model's answer or a judge's reply, by an id. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from raylign.records import Message, Prompt, canonical_json, content_id

Side = Literal["base", "aligned"]
SIDES: tuple[Side, ...] = ("base", "aligned")


@dataclass(frozen=True)
class Answer:
    """A model's answer to a held-out prompt or to a suite's task, or a judge's reply; or why there is none."""

    id: str
    prompt_id: str
    """Of the prompt; in a suite, of its task or judge task."""
    model: str
    """The name it is served under, such as `base` or `aligned`."""
    weights: str
    """Which weights that was: a path or hub id for the base model, a checksum for the checkpoint."""
    sampling: str
    """Sampling parameters as canonical JSON."""
    answer: str
    answer_tokens: int
    """Tokens the endpoint counted in the answer; 0 where it did not."""
    finish_reason: str
    """`stop` where the model ended by itself, `length` where the limit cut it."""
    status: str
    """`ok`, or a reason from `raylign.revise.reasons`."""
    detail: str
    attempts: int


@dataclass(frozen=True)
class Question:
    """One request of an evaluation: which model gets which conversation."""

    id: str
    task_id: str
    """Of the prompt, task or judge task that it is made of."""
    messages: list[Message]
    model: str
    weights: str
    max_tokens: int
    temperature: float

    @property
    def sampling(self) -> str:
        """Sampling parameters as canonical JSON."""
        return sampling_text(self.max_tokens, self.temperature)


@dataclass(frozen=True)
class Contestant:
    """A model that is evaluated."""

    name: str
    """As the endpoint serves it."""
    weights: str
    """As in `Answer`; of a model at an endpoint of the user's, its name there and the endpoint."""


def sampling_text(max_tokens: int, temperature: float) -> str:
    """Sampling parameters as canonical JSON."""
    return canonical_json({"max_tokens": max_tokens, "temperature": temperature})


def questions(
    prompts: Sequence[Prompt], contestants: Sequence[Contestant], max_tokens: int, temperature: float
) -> list[Question]:
    """Every prompt to every model, a prompt's requests next to each other, so that all models meet the same load."""
    return [
        question([], prompt.id, prompt.messages, one, max_tokens, temperature)
        for prompt in prompts
        for one in contestants
    ]


def question(
    parts: Iterable[str],
    task_id: str,
    messages: list[Message],
    contestant: Contestant,
    max_tokens: int,
    temperature: float,
) -> Question:
    """One request; its id is made of `parts`, the task, the weights and the sampling parameters."""
    sampling = sampling_text(max_tokens, temperature)
    id_ = content_id("answer", *parts, task_id, contestant.name, contestant.weights, sampling)
    return Question(id_, task_id, messages, contestant.name, contestant.weights, max_tokens, temperature)


def latest(answers: Iterable[Answer]) -> dict[str, Answer]:
    """The last row written for each id: a request that failed once and was asked again counts once."""
    return {answer.id: answer for answer in answers}
