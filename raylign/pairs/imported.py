"""Turns one row of an existing preference data set into a prompt with two answers, or says what is wrong with it. Pure.

Forms that are read, each for any file format (the names of the fields are configured):

- `prompt` with `chosen` and `rejected`, each a text or, as TRL's conversational format has it, a list of turns;
- `chosen` and `rejected` as whole conversations that end with the answer (TRL's implicit prompt). What stands before
  the answers is then the prompt, and must be the same in both; a `prompt` beside it is not looked at;
- `prompt` with `completions`, scored answers as in UltraFeedback (arXiv 2310.01377): the best against the worst, or
  against a random other one;
- `prompt` with `completion` and `label`, a single answer that is desirable or not (TRL's unpaired format). The answer
  may also be a conversation that ends with it.
"""

import math
from dataclasses import dataclass
from typing import Any

from raylign.config.generation import OffpolicyConfig
from raylign.prompts.normalise import ROLES, Problem, conversation, excerpt, prompt_id, text_of
from raylign.records import Message, content_id

CHOSEN_MODEL_FIELD, REJECTED_MODEL_FIELD, MODEL_FIELD = "chosen_model", "rejected_model", "model"
UNKNOWN = "unknown"
"""Stands for a model that a row does not name."""


@dataclass(frozen=True)
class Answer:
    """One side; `text` may be empty, which the filters judge."""

    text: str
    model: str


@dataclass(frozen=True)
class Imported:
    """A prompt with two answers."""

    messages: list[Message]
    chosen: Answer
    rejected: Answer
    tie: str = ""
    """Why neither answer is the better one; empty where one is."""


@dataclass(frozen=True)
class Single:
    """A prompt with one answer, which is desirable or not."""

    messages: list[Message]
    answer: Answer
    desirable: bool


def read_row(row: object, config: OffpolicyConfig, seed: int) -> Imported | Single | Problem:
    """The prompt and answers of one row; `seed` draws the answer that `against=random` takes."""
    if not isinstance(row, dict):
        return Problem("not_object", f"a row is an object with named fields, this is {excerpt(row)}")
    sides = [row.get(name) for name in (config.chosen_field, config.rejected_field)]
    if None not in sides:
        return _two_answers(row, sides, config)
    if row.get(config.completions_field) is not None:
        return _scored(row, config, seed)
    if row.get(config.answer_field) is not None:
        return _single(row, config)
    return Problem(
        "no_answers",
        f"neither '{config.chosen_field}' and '{config.rejected_field}' nor '{config.completions_field}' nor "
        f"'{config.answer_field}' are given",
    )


def _two_answers(row: dict[str, Any], sides: list[Any], config: OffpolicyConfig) -> Imported | Problem:
    read = [_side(value, name) for value, name in zip(sides, (config.chosen_field, config.rejected_field), strict=True)]
    prompts: list[list[Message]] = []
    texts: list[str] = []
    for side in read:
        if isinstance(side, Problem):
            return side
        texts.append(side[0])
        prompts += [side[1]] if side[1] else []
    messages = prompts[0] if prompts else _prompt(row, config)
    if isinstance(messages, Problem):
        return messages
    if any(prompt != messages for prompt in prompts):
        return Problem("different_prompts", "the two answers end different conversations")
    chosen, rejected = texts
    return Imported(
        messages,
        chosen=Answer(chosen, _model(row, CHOSEN_MODEL_FIELD)),
        rejected=Answer(rejected, _model(row, REJECTED_MODEL_FIELD)),
    )


def _single(row: dict[str, Any], config: OffpolicyConfig) -> Single | Problem:
    desirable = row.get(config.desirable_field)
    if desirable not in (True, False):  # also as 1 and 0
        return Problem("no_verdict", f"'{config.desirable_field}' is {excerpt(desirable)}, true or false is wanted")
    side = _side(row[config.answer_field], config.answer_field)
    if isinstance(side, Problem):
        return side
    text, turns = side
    messages = turns or _prompt(row, config)
    if isinstance(messages, Problem):
        return messages
    return Single(messages, Answer(text, _model(row, MODEL_FIELD)), bool(desirable))


def _side(value: object, name: str) -> tuple[str, list[Message]] | Problem:
    """A side's answer, and the conversation that it ends, which is empty where the side is the answer alone."""
    if isinstance(value, str):
        text = _answer_text(value, f"'{name}'")
        return text if isinstance(text, Problem) else (text, [])
    if not isinstance(value, list) or not value:
        return Problem("wrong_type", f"'{name}' is {excerpt(value)}, a text or a list of {{role, content}} is wanted")
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, dict) or turn.get("role") not in ROLES:
            return Problem("bad_role", f"turn {number} of '{name}' is {excerpt(turn)}; roles are {', '.join(ROLES)}")
    if value[-1]["role"] != "assistant":
        return Problem("bad_turns", f"'{name}' ends with a turn of {value[-1]['role']}, the assistant's is wanted")
    text = _answer_text(value[-1].get("content"), f"'{name}'")
    if isinstance(text, Problem) or len(value) == 1:
        return text if isinstance(text, Problem) else (text, [])
    prompt = conversation({name: value}, name, name)
    return Problem(prompt.reason, f"'{name}': {prompt.detail}") if isinstance(prompt, Problem) else (text, prompt)


def _answer_text(value: object, place: str) -> str | Problem:
    return "" if isinstance(value, str) and not value.strip() else text_of(value, place)


def _prompt(row: dict[str, Any], config: OffpolicyConfig) -> list[Message] | Problem:
    """The row's own prompt: a conversation in either column, or a text."""
    only_prompt = row.get(config.messages_field) is None
    turns_in_prompt = only_prompt and isinstance(row.get(config.prompt_field), list)
    return conversation(row, config.prompt_field, config.prompt_field if turns_in_prompt else config.messages_field)


def _model(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) and value.strip() else UNKNOWN


def _scored(row: dict[str, Any], config: OffpolicyConfig, seed: int) -> Imported | Problem:
    messages = _prompt(row, config)
    if isinstance(messages, Problem):
        return messages
    listed = row[config.completions_field]
    if not isinstance(listed, list):
        return Problem("wrong_type", f"'{config.completions_field}' is {excerpt(listed)}, a list of objects is wanted")
    scored = [found for item in listed if (found := _completion(item, config)) is not None]
    if len(scored) < 2:
        fields = f"'{config.response_field}' and a finite '{config.score_field}'"
        return Problem("too_few_scores", f"{len(scored)} of {len(listed)} completions have {fields}; two are needed")
    best = max(range(len(scored)), key=lambda index: scored[index][0])
    others = scored[:best] + scored[best + 1 :]
    if config.against == "worst":
        other = min(others, key=lambda found: found[0])
    else:
        other = others[int(content_id("against", seed, prompt_id(messages))[:13], 16) % len(others)]
    (high, chosen), (low, rejected) = scored[best], other
    return Imported(messages, chosen, rejected, tie=f"both answers score {high:g}" if high == low else "")


def _completion(item: object, config: OffpolicyConfig) -> tuple[float, Answer] | None:
    """Score and answer of one completion, or None where it lacks either."""
    if not isinstance(item, dict):
        return None
    text, score = _answer_text(item.get(config.response_field), "an answer"), _score(item.get(config.score_field))
    return None if isinstance(text, Problem) or score is None else (score, Answer(text, _model(item, MODEL_FIELD)))


def _score(value: object) -> float | None:
    """A finite number, also where a file spells it as text; None for anything else, such as "N/A"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
