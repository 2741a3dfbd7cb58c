"""How the revision of one draft can end: a closed set of reasons, and which of them may pass. Pure."""

from enum import StrEnum


class Reason(StrEnum):
    """`ok`, or why there is no revision; a row's `status`."""

    OK = "ok"
    # A reply came, and it is no revision.
    EMPTY = "empty"
    """Nothing but white space."""
    CUT_OFF = "cut_off"
    """The reply ran into its token limit."""
    REFUSED = "refused"
    """The reviser, or its provider's content filter, declined."""
    UNPARSED = "unparsed"
    """The revision cannot be told from the rest of the reply without a doubt."""
    # No reply came, and another try may bring one.
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    """The connection was refused or broke."""
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    BAD_RESPONSE = "bad_response"
    """An answer with status 200 that is no chat completion."""
    # No reply came, and none will.
    BAD_REQUEST = "bad_request"
    """The endpoint rejects this one request, such as a prompt beyond its context length."""
    TOO_LARGE = "too_large"
    """The request alone exceeds the token limit of a minute."""
    # Not an outcome: the job ended before this row's turn. Such rows are never written.
    STOPPED = "stopped"


TRANSIENT = frozenset(
    {Reason.TIMEOUT, Reason.CONNECTION, Reason.RATE_LIMITED, Reason.SERVER_ERROR, Reason.BAD_RESPONSE}
)
"""Failures that lie in the moment and not in the row: tried again, also by the next run."""
