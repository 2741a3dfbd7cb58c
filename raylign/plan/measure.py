"""What each sampled prompt took, read off its draft and its revision, and how fast it went. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from raylign.config import LoopConfig
from raylign.plan.estimate import Capacity, Row, Speed, capacity_of
from raylign.records import Draft, Message, Revision
from raylign.revise.templates import Template


def request_bytes(conversation: list[Message], template: Template) -> int:
    """UTF-8 bytes of the request to the reviser for a prompt, the draft apart: known before anything is drafted."""
    messages = template.messages(conversation, "")
    return sum(len(message["content"].encode("utf-8", "surrogatepass")) for message in messages)


def measure(drafts: Sequence[Draft], revisions: Sequence[Revision], template: Template) -> list[Row]:
    """A row a draft. A request that an earlier plan was answered counts as if it were sent: the run may have to."""
    by_draft = {revision.draft_id: revision for revision in revisions}
    rows = [_row(draft, by_draft.get(draft.id), request_bytes(draft.messages, template)) for draft in drafts]
    timed = [row.place_seconds for row in rows if row.place_seconds]
    usual = sum(timed) / len(timed) if timed else 0.0
    return [replace(row, place_seconds=usual) if row.calls and not row.place_seconds else row for row in rows]


def _row(draft: Draft, revision: Revision | None, size: int) -> Row:
    if revision is None:
        return Row(size, draft.answer_tokens, 0, 0, 0, 0.0)
    return Row(
        request_bytes=size,
        answer_tokens=draft.answer_tokens,
        calls=revision.attempts or 1 + revision.repairs,
        prompt_tokens=revision.prompt_tokens,
        reply_tokens=revision.reply_tokens,
        place_seconds=revision.latency_seconds * max(1, revision.attempts),
    )


def read_speed(rows: Sequence[Row], sampled: dict[str, Any], revised: dict[str, Any], config: LoopConfig) -> Speed:
    """The speed by the two stages' figures.

    Args:
        sampled: The sample stage's figures; without `tokens_per_second` where it was stopped and taken up again.
        revised: The revise stage's figures.
    """
    capacity = capacity_of(config)
    engines = min(config.sample.engines_max, max(1, len(rows) // config.sample.batch_size))
    per_second = sampled.get("tokens_per_second")
    busy = _busy_seconds(rows, capacity)
    replies = sum(row.reply_tokens for row in rows)
    return Speed(
        sample_start_seconds=sampled.get("start_seconds", 0.0),
        answer_tokens_per_second=per_second / engines if per_second else None,
        revise_start_seconds=max(0.0, revised["seconds"] - busy),
        reply_tokens_per_second=replies / busy / max(1, config.serve.replicas_min) if busy and replies else None,
    )


def _busy_seconds(rows: Sequence[Row], capacity: Capacity) -> float:
    """How long requests were on their way: the longest of them, or all of them through the places."""
    seconds = [row.place_seconds for row in rows]
    return max([*seconds, sum(seconds) / min(max(1, len(rows)), capacity.places)], default=0.0)
