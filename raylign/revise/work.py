"""What the pool of actors does with one item: which request comes next, and the row its outcome makes. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from raylign.config import ReviseConfig
from raylign.records import Draft, Message, Revision
from raylign.revise.chat_request import Parameters
from raylign.revise.repair import next_request
from raylign.revise.replies import Reply
from raylign.revise.rows import Call, to_revision
from raylign.revise.templates import load_template

Windows = Callable[[], Iterable[Any]]
"""Gives the items that wait as tables, one after another: each is read when the last is done with, each time anew."""


class Work(Protocol):
    """One kind of work. It travels to the actors; the endpoint, limits, journal and retries are the pool's."""

    item: type[Any]
    """Record of what comes in."""
    row: type[Any]
    """Record of what goes out, one an item; has `status` and `detail` as a `Revision` has."""
    verb: str
    """What happened to an item whose row is good, as in "revised"."""

    @property
    def response_format(self) -> dict[str, Any] | None:
        """What each request asks its reply's form with; None for plain text."""

    def parameters(self, item: Any) -> Parameters:
        """What the item's requests say besides their messages."""

    def next_request(self, item: Any, replies: Sequence[Reply]) -> list[Message] | None:
        """The messages to send after these replies to the item, or None where they settle it."""

    def to_row(self, item: Any, call: Call) -> Any:
        """The item's row, whatever came of it."""


class Revising:
    """Drafts become revisions, or for `stronger` the answers that stand against them."""

    item: type[Any] = Draft
    row: type[Any] = Revision

    def __init__(self, revise: ReviseConfig, source: str = "clair") -> None:
        self.revise = revise
        self.template = load_template(revise, source)
        self.verb = "answered" if source == "stronger" else "revised"

    @property
    def response_format(self) -> dict[str, Any] | None:
        """That of the template."""
        return self.template.response_format

    def parameters(self, item: Draft) -> Parameters:
        """Those of the configuration, for every draft."""
        return self.revise

    def next_request(self, item: Draft, replies: Sequence[Reply]) -> list[Message] | None:
        """The draft's request, then a repair request after each reply that cannot be read."""
        return next_request(item, replies, self.revise, self.template)

    def to_row(self, item: Draft, call: Call) -> Revision:
        """The draft's revision."""
        return to_revision(item, call, self.revise, self.template)
