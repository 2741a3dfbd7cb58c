"""Turns one row of any prompt file into a normalised conversation, or says what is wrong with it; pure.

What a conversation is: an optional system turn, then user and assistant turns in alternation, the last one
the user's. Chat data sets for fine-tuning end with the assistant's answer instead: that last answer is left out,
since the target model writes its own. Equal conversations give equal ids, so the answer left out plays no part in them.
"""

import reprlib
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

from raylign.records import Message, Split, content_id

Reason = Literal[
    "not_json", "not_object", "bad_encoding", "no_prompt", "empty_prompt", "wrong_type", "bad_role", "bad_turns",
    # of rows with answers, which raylign.pairs.imported reads, only:
    "no_answers", "different_prompts", "too_few_scores", "no_verdict",
]  # fmt: skip
ROLES = ("system", "user", "assistant")
SOURCE_FIELD = "source"

_EXCERPT = reprlib.Repr()  # bounded in depth and length, whatever a file holds
_EXCERPT.maxstring = _EXCERPT.maxother = 60


@dataclass(frozen=True)
class Problem:
    """Why a row is no prompt, or is no prompt with answers."""

    reason: Reason
    detail: str


def conversation(row: object, prompt_field: str, messages_field: str) -> list[Message] | Problem:
    """The normalised messages of a row; `messages_field` wins where the row has both and it is not null."""
    if not isinstance(row, dict):
        return Problem("not_object", f"a row is an object with named fields, this is {excerpt(row)}")
    messages, prompt = row.get(messages_field), row.get(prompt_field)
    if messages is not None:
        return _messages(messages, messages_field)
    if prompt is None:
        present = _EXCERPT.repr([key for key, value in row.items() if value is not None])
        return Problem("no_prompt", f"neither '{prompt_field}' nor '{messages_field}' is given, only {present}")
    if isinstance(prompt, list):
        return Problem("wrong_type", f"'{prompt_field}' is a list; read it with prompts.messages_field={prompt_field}")
    text = text_of(prompt, f"'{prompt_field}'")
    return text if isinstance(text, Problem) else [Message(role="user", content=text)]


def source_of(row: object, default: str) -> str | Problem:
    """What the row says about its origin in `source`, or `default` where it says nothing usable."""
    value = row.get(SOURCE_FIELD) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value.strip():
        return default
    return text_of(value, f"'{SOURCE_FIELD}'")


def clean(text: str) -> str:
    """Text in Unicode NFC with line feeds alone as line ends and no white space around it."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def prompt_id(messages: list[Message]) -> str:
    """The id of a normalised conversation: a hash of its roles and contents, and of nothing else."""
    return content_id("prompt", messages)


def split_of(identifier: str, heldout_share: float) -> Split:
    """The split an id falls into; the same wherever the row stands and whatever else is in the file.

    A second hash of the id, read as a number in [0, 1), is compared with `heldout_share` (0 to 1).
    """
    position = int(content_id("split", identifier)[:13], 16) / 16**13  # 52 bits: exact in a float
    return "heldout" if position < heldout_share else "train"


def _messages(turns: Any, field: str) -> list[Message] | Problem:
    if not isinstance(turns, list):
        return Problem("wrong_type", f"'{field}' is {excerpt(turns)}, a list of {{role, content}} is wanted")
    if not turns:
        return Problem("empty_prompt", f"'{field}' has no turn")
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict):
            return Problem("wrong_type", f"turn {number} is {excerpt(turn)}, an object {{role, content}} is wanted")
        if turn.get("role") not in ROLES:
            named = f"role {excerpt(turn['role'])}" if "role" in turn else f"no role, only {_EXCERPT.repr(list(turn))}"
            return Problem("bad_role", f"turn {number} has {named}; allowed: {', '.join(ROLES)}")
    kept = turns[:-1] if turns[-1]["role"] == "assistant" else turns
    return _order_problem([turn["role"] for turn in kept]) or _contents(kept)


def _order_problem(roles: list[str]) -> Problem | None:
    first = 1 if roles[:1] == ["system"] else 0
    for number, role in enumerate(roles[first:], start=first):
        wanted = ("user", "assistant")[(number - first) % 2]
        if role != wanted:
            return Problem("bad_turns", f"turn {number + 1} is {role}, {wanted} is wanted there")
    if roles[-1:] != ["user"]:
        return Problem("bad_turns", "the conversation has no user turn to answer")
    return None


def _contents(turns: list[dict[str, Any]]) -> list[Message] | Problem:
    messages: list[Message] = []
    for number, turn in enumerate(turns, start=1):
        text = text_of(turn.get("content"), f"turn {number} ({turn['role']})")
        if isinstance(text, Problem):
            if turn["role"] == "system" and text.reason == "empty_prompt":
                continue  # chat data sets write "no system text" as an empty one
            return text
        messages.append(Message(role=turn["role"], content=text))
    return messages


def text_of(value: object, place: str) -> str | Problem:
    """A text in the form of `clean`; a problem that names `place` where it is none, or empty."""
    if not isinstance(value, str):
        return Problem("wrong_type", f"{place} is {excerpt(value)}, text is wanted")
    text = clean(value)
    if not text:
        return Problem("empty_prompt", f"{place} is empty")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return Problem("bad_encoding", f"{place} has half of a surrogate pair at character {error.start}")
    return text


def excerpt(value: object) -> str:
    """A value's type and the start of it, for a message."""
    return "null" if value is None else f"{type(value).__name__} {_EXCERPT.repr(value)}"
