"""The rows that flow from stage to stage, as typed records with their Arrow schemas, and how ids are made.

A row carries what is needed to trace it back to its prompt. `status` is `ok` or a reason from a closed set;
a bad model output is a row with its reason, never an exception and never a missing row.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict

import pyarrow as pa

Split = Literal["train", "heldout"]


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


@dataclass(frozen=True)
class Prompt:
    """A conversation that waits for the assistant's next turn."""

    id: str
    messages: list[Message]
    split: Split
    source: str


@dataclass(frozen=True)
class Draft:
    """The target model's answer to a prompt; becomes `rejected`."""

    id: str
    prompt_id: str
    messages: list[Message]
    split: Split
    source: str
    answer: str
    model: str
    sampling: str
    """Sampling parameters as canonical JSON."""
    sample_index: int
    prompt_tokens: int
    answer_tokens: int
    cut_off: bool
    """The draft reached its token limit."""
    status: str
    """`ok`, or `engine_error`."""
    detail: str
    """What the engine said, where status is not `ok`."""


@dataclass(frozen=True)
class Revision:
    """The reviser's reply to a draft; its `revision` becomes `chosen`.

    The other sources of pairs bring their chosen answers in this form, too (`raylign.pairs.candidates`).
    """

    id: str
    draft_id: str
    prompt_id: str
    messages: list[Message]
    split: Split
    source: str
    answer: str
    answer_cut_off: bool
    target_model: str
    reviser_model: str
    template: str
    reply: str
    """The reviser's whole reply, as received; with repairs, the last one."""
    revision: str
    rationale: str
    finish_reason: str
    status: str
    """`ok`, or a reason from `raylign.revise.reasons`."""
    detail: str
    attempts: int
    """Requests sent, those for repairs included; so are the tokens."""
    latency_seconds: float
    prompt_tokens: int
    reply_tokens: int
    request_id: str
    repairs: int = 0
    """Replies to repair requests that this row took."""
    usd: float = 0.0
    """What the endpoint charges for it, by the configured prices; 0 where none are."""


@dataclass(frozen=True)
class Comparison:
    """Two drafts of a prompt in the order in which a judge is shown them."""

    id: str
    prompt_id: str
    messages: list[Message]
    first_id: str
    second_id: str
    first: str
    second: str


@dataclass(frozen=True)
class Judgement:
    """The judge's reply to a comparison, whose id it has."""

    id: str
    prompt_id: str
    first_id: str
    second_id: str
    judge_model: str
    template: str
    choice: str
    """The preferred answer by its place, `first` or `second`; or `tie`; empty where status is not `ok`."""
    rationale: str
    reply: str
    """The judge's whole reply, as received; with repairs, the last one."""
    finish_reason: str
    status: str
    """`ok`, or a reason from `raylign.revise.reasons`."""
    detail: str
    attempts: int
    """Requests sent, those for repairs included; so are the tokens."""
    latency_seconds: float
    prompt_tokens: int
    reply_tokens: int
    request_id: str
    repairs: int
    usd: float


@dataclass(frozen=True)
class Pair:
    """A preference pair in TRL's conversational format, with contrast metrics and lineage.

    A single answer with a verdict is a pair with one side: `chosen` (desirable) or `rejected` is then an empty list,
    and the contrast metrics are NaN, or 0 for `shared_prefix`.
    """

    id: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    rationale: str
    split: Split
    source: str
    jaccard: float
    """Token Jaccard similarity of chosen and rejected, 0 to 1."""
    levenshtein: float
    """Character edit distance over the longer length, 0 (same) to 1."""
    length_ratio: float
    """Characters of chosen over characters of rejected."""
    shared_prefix: int
    """Tokens, as `raylign.pairs.contrast` splits them, that chosen and rejected start with alike."""
    prompt_id: str
    draft_id: str
    revision_id: str
    target_model: str
    reviser_model: str
    template: str
    rejected_cut_off: bool = False
    """The rejected answer was cut by its token limit, so it has no end of turn to be trained on."""


@dataclass(frozen=True)
class Rejected:
    """A candidate that became no pair, and why."""

    id: str
    reason: str
    detail: str
    prompt: list[Message]
    draft: str
    reply: str
    split: Split
    prompt_id: str
    draft_id: str
    revision_id: str


_ARROW_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    Split: pa.string(),
    list[Message]: MESSAGES,
}


def arrow_schema(record: type) -> pa.Schema:
    """The Arrow schema of a record class, one column a field, in order."""
    return pa.schema([(column.name, _ARROW_TYPES[column.type]) for column in fields(record)])


def to_table(record: type, rows: list[Any]) -> pa.Table:
    """Rows of one record class as an Arrow table (also when there are none)."""
    schema = arrow_schema(record)
    columns = [pa.array([getattr(row, column.name) for row in rows], column.type) for column in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def content_id(*parts: object) -> str:
    """A 32-hex-digit id of JSON-able parts: the same parts give the same id on any machine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces, so that equal values are equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
