"""Request and token limits as arithmetic: two buckets that fill with time. Pure; time is an argument, in seconds.

A bucket holds at most one second's worth (and at least one request), so that no minute sees more than the limit
and that burst. A lease may overdraw the token bucket, which then has to fill before the next one: a large request
waits no longer than a small one to start, and the average still holds.
"""

import math
from dataclasses import dataclass

from raylign.records import Message

_BYTES_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 8
UNANSWERED_IN_A_ROW = 50
"""So many drafts given up one after another, over all actors, and no reply between: the endpoint is gone."""


@dataclass(frozen=True)
class Lease:
    """The limiter's answer to one request that wants to be sent."""

    granted: bool
    wait_seconds: float = 0.0
    """When not granted: ask again after this time."""
    refused: str = ""
    """Non-empty when no wait can help this request."""
    stopped: str = ""
    """Non-empty when the job is over, with the cause."""


class Bucket:
    """`per_minute` units flow in, evenly; starts with one burst."""

    def __init__(self, per_minute: float, now: float) -> None:
        self.per_second = per_minute / 60.0
        self.burst = max(1.0, self.per_second)
        self.level = self.burst
        self.at = now

    def fill(self, now: float) -> None:
        """Bring the level up to `now`; a clock that went back adds nothing."""
        self.level = min(self.burst, self.level + max(0.0, now - self.at) * self.per_second)
        self.at = max(self.at, now)

    def wait_seconds(self, units: float) -> float:
        """Time until `units` may be taken; more than a burst may be taken from a full bucket."""
        return max(0.0, min(units, self.burst) - self.level) / self.per_second


class Limiter:
    """Requests and tokens a minute, the pauses that the endpoint asks for, and the end of a job that cannot go on."""

    def __init__(self, requests_per_minute: int, tokens_per_minute: int, now: float) -> None:
        self.tokens_per_minute = tokens_per_minute
        self.requests = Bucket(requests_per_minute, now)
        self.tokens = Bucket(tokens_per_minute, now)
        self.paused_until = now
        self.unanswered = 0
        self.stopped_by = ""

    def lease(self, tokens: int, now: float) -> Lease:
        """Ask to send one request of an estimated `tokens`, prompt and reply together."""
        if self.stopped_by:
            return Lease(granted=False, stopped=self.stopped_by)
        if tokens > self.tokens_per_minute:
            return Lease(
                granted=False,
                refused=f"the request may take {tokens} tokens and the limit is {self.tokens_per_minute} a minute",
            )
        self.requests.fill(now)
        self.tokens.fill(now)
        wait = max(self.paused_until - now, self.requests.wait_seconds(1), self.tokens.wait_seconds(tokens))
        if wait > 1e-9:  # rounding must not send a caller round again for nothing
            return Lease(granted=False, wait_seconds=wait)
        self.requests.level -= 1
        self.tokens.level -= tokens
        return Lease(granted=True)

    def settle(self, leased_tokens: int, used_tokens: int, now: float) -> None:
        """A reply came: correct its lease to what the request really used."""
        self.unanswered = 0
        self.tokens.fill(now)
        self.tokens.level = min(self.tokens.burst, self.tokens.level + leased_tokens - used_tokens)

    def pause(self, seconds: float, now: float) -> None:
        """Send nothing for `seconds`: the endpoint said Retry-After."""
        self.paused_until = max(self.paused_until, now + seconds)

    def give_up(self, cause: str) -> None:
        """A draft got no reply after all its tries; after `UNANSWERED_IN_A_ROW` of them the job stops by this cause."""
        self.unanswered += 1
        if self.unanswered >= UNANSWERED_IN_A_ROW:
            self.stop(cause)

    def stop(self, cause: str) -> None:
        """Grant nothing any more. Requests on their way end as they will; the first cause is the one that is told."""
        self.stopped_by = self.stopped_by or cause


def estimate_tokens(messages: list[Message], max_tokens: int) -> int:
    """Upper-end guess of a request's tokens: UTF-8 bytes over three, the template's few, and the longest reply."""
    size = sum(len(message["content"].encode("utf-8", "surrogatepass")) for message in messages)
    return math.ceil(size / _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(messages) + max_tokens
