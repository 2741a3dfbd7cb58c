"""The row that a draft, its request and the outcome of that make. Pure."""

from dataclasses import dataclass, replace
from typing import Any

from raylign.config import ReviseConfig
from raylign.records import Draft, Revision
from raylign.revise.budget import price_of
from raylign.revise.failures import Failure
from raylign.revise.parsed import Parsed
from raylign.revise.reasons import TRANSIENT, Reason
from raylign.revise.repair import parse
from raylign.revise.replies import Reply
from raylign.revise.templates import Template, revision_id


@dataclass(frozen=True)
class Call:
    """How asking for one item, a draft or a comparison, ended."""

    outcome: Reply | Failure
    """What the last request brought."""
    attempts: int
    """Requests sent for this item, the last one included."""
    latency_seconds: float
    """Duration of the last request."""
    earlier: tuple[Reply, ...] = ()
    """Replies before it, in order, each of which could not be read and had a repair request follow."""

    @property
    def replies(self) -> tuple[Reply, ...]:
        """Every reply received for this draft, in order."""
        return (*self.earlier, self.outcome) if isinstance(self.outcome, Reply) else self.earlier


def to_revision(draft: Draft, call: Call, revise: ReviseConfig, template: Template) -> Revision:
    """The revision's row, whatever came of the call."""
    parsed = _read(call, template)
    return Revision(
        id=revision_id(draft.id, revise, template),
        **draft_fields(draft),
        reviser_model=revise.model,
        template=template.version,
        revision=parsed.revision,
        rationale=parsed.rationale,
        status=str(parsed.status),
        detail=parsed.detail,
        **request_fields(call, revise),
    )


def draft_fields(draft: Draft) -> dict[str, Any]:
    """The columns of a `Revision` that say which draft it stands against, whoever wrote it."""
    return {
        "draft_id": draft.id,
        "prompt_id": draft.prompt_id,
        "messages": draft.messages,
        "split": draft.split,
        "source": draft.source,
        "answer": draft.answer,
        "answer_cut_off": draft.cut_off,
        "target_model": draft.model,
    }


def request_fields(call: Call, revise: ReviseConfig) -> dict[str, Any]:
    """The columns that say what was received and what it took, by the names that each kind of row has for them."""
    replies = call.replies
    reply = replies[-1] if replies else Reply()
    return {
        "reply": reply.text,
        "finish_reason": reply.finish_reason,
        "attempts": call.attempts,
        "latency_seconds": call.latency_seconds,
        "prompt_tokens": sum(each.prompt_tokens for each in replies),
        "reply_tokens": sum(each.reply_tokens for each in replies),
        "request_id": reply.request_id,
        "repairs": max(0, len(replies) - 1),
        "usd": sum(price_of(revise).usd(each.prompt_tokens, each.reply_tokens) * each.price_share for each in replies),
    }


def standing_failure(call: Call) -> Failure | None:
    """The failure that stands in a reply's place, or None where the last reply is to be read.

    A repair request that failed in the moment leaves the item open, as any request would: the failure is the outcome
    and the next run tries again. One that can never pass (a prompt too long by the shown reply) leaves the reply as
    it was read.
    """
    failure = call.outcome if isinstance(call.outcome, Failure) else None
    if failure is None or not call.replies or failure.fatal or failure.reason in TRANSIENT | {Reason.STOPPED}:
        return failure
    return None


def _read(call: Call, template: Template) -> Parsed:
    """What came of a call: its last reply as read, or the failure that stands in its place."""
    if failure := standing_failure(call):
        return Parsed(failure.reason, detail=failure.detail)
    last, outcome = parse(call.replies[-1], template), call.outcome
    if isinstance(outcome, Failure):
        return replace(last, detail=f"{last.detail}; its repair failed ({outcome.reason}: {outcome.detail})")
    return last
