"""The row that a draft, its request and the outcome of that make. Pure."""

from dataclasses import dataclass

from raylign.config import ReviseConfig
from raylign.records import Draft, Revision
from raylign.revise.budget import price_of
from raylign.revise.failures import Failure
from raylign.revise.parse import Parsed, parse_reply
from raylign.revise.replies import Reply
from raylign.revise.templates import Template, revision_id


@dataclass(frozen=True)
class Call:
    """How asking the reviser for one draft ended."""

    outcome: Reply | Failure
    attempts: int
    """Requests sent, the last one included."""
    latency_seconds: float
    """Duration of the last request."""


def to_revision(draft: Draft, call: Call, revise: ReviseConfig, template: Template) -> Revision:
    """The revision's row, whatever came of the call."""
    outcome = call.outcome
    if isinstance(outcome, Reply):
        reply = outcome
        parsed = parse_reply(template.name, reply.text, reply.finish_reason, reply.refusal)
    else:
        reply = Reply()
        parsed = Parsed(outcome.reason, detail=outcome.detail)
    return Revision(
        id=revision_id(draft.id, revise, template),
        draft_id=draft.id,
        prompt_id=draft.prompt_id,
        messages=draft.messages,
        split=draft.split,
        source=draft.source,
        answer=draft.answer,
        answer_cut_off=draft.cut_off,
        target_model=draft.model,
        reviser_model=revise.model,
        template=template.version,
        reply=reply.text,
        revision=parsed.revision,
        rationale=parsed.rationale,
        finish_reason=reply.finish_reason,
        status=str(parsed.status),
        detail=parsed.detail,
        attempts=call.attempts,
        latency_seconds=call.latency_seconds,
        prompt_tokens=reply.prompt_tokens,
        reply_tokens=reply.reply_tokens,
        request_id=reply.request_id,
        usd=price_of(revise).usd(reply.prompt_tokens, reply.reply_tokens),
    )
