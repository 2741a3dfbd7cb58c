"""Which replies are asked for again in the right form, and what is sent next for a draft. Pure.

A repair asks the reviser to restate what it wrote, so it can mend a form and nothing else:

- `unparsed` and `empty` are worth it: the reply is whole, and its parts are there or can still be written.
- `cut_off` is not: the same token limit would cut the restated reply as well, and a shorter one is another revision.
- `refused` is not: asking again would press a reviser that declined.
"""

from collections.abc import Sequence

from raylign.config import ReviseConfig
from raylign.records import Draft, Message
from raylign.revise.parse import parse_reply
from raylign.revise.parsed import Parsed
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply
from raylign.revise.templates import Template

REPAIRABLE = frozenset({Reason.UNPARSED, Reason.EMPTY})


def parse(reply: Reply, template: Template) -> Parsed:
    """What a reply to this template, or to its repair request, says."""
    return parse_reply(template.name, reply.text, reply.finish_reason, reply.refusal)


def next_repair(status: Reason, repairs_done: int, revise: ReviseConfig) -> bool:
    """Whether a reply that was read like this is to be repaired, after so many repair replies to the same request."""
    return status in REPAIRABLE and repairs_done < revise.max_repairs


def next_request(
    draft: Draft, replies: Sequence[Reply], revise: ReviseConfig, template: Template
) -> list[Message] | None:
    """The messages of the next request for a draft, or None where its replies so far settle it.

    Args:
        replies: Replies received for this draft, in order: the first, then one a repair. With none of them this is
            the draft's own request. A repair shows the last reply only, so requests do not grow with their number.
    """
    if not replies:
        return template.messages(draft.messages, draft.answer)
    parsed = parse(replies[-1], template)
    if not next_repair(parsed.status, len(replies) - 1, revise):
        return None
    return template.repair_messages(draft.messages, draft.answer, replies[-1].text, parsed.detail)
