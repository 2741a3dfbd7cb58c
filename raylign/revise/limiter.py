"""Who may send, and when: rate, places, budget, and the end of a job that cannot go on. Pure; time is an argument.

A caller asks for a batch of requests and is granted the first few of them as leases; every lease is settled by how
its request ended. What a limit needs to be kept exactly (the tokens used, the dollars charged) comes with that.
"""

import math
from dataclasses import dataclass, field

from raylign.records import Message
from raylign.revise.budget import Budget, budget_is_spent
from raylign.revise.headers import StatedLimits
from raylign.revise.rate import Bucket, Pace

_BYTES_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 8
_SOON_SECONDS = 0.05
"""How long to wait for a place or a settlement, whose time nobody knows."""
_LEARNING_RATE = 0.05
"""Weight of one more request in what requests are known to take; the first few weigh more, as in a plain mean."""
UNANSWERED_IN_A_ROW = 50
"""So many drafts given up one after another, over all actors, and no reply between: the endpoint is gone."""


@dataclass(frozen=True)
class Limits:
    """What the provider allows and the user wants spent, over the whole cluster."""

    requests_per_minute: float
    tokens_per_minute: float
    in_flight: int | None = None
    max_usd: float | None = None
    lease_seconds: float = 600.0
    """After this time the sender of a request that was never settled is taken for dead, its cost for charged."""
    section: str = "revise"
    """The configuration's that sets them, for what a person is told."""


@dataclass(frozen=True)
class Ask:
    """One request that wants to be sent: the most it may take of each limit."""

    tokens: int
    usd: float = 0.0


@dataclass(frozen=True)
class Grant:
    """The limiter's answer to a batch of asks."""

    leases: tuple[int, ...] = ()
    """Leases of the first so many asks."""
    wait_seconds: float = 0.0
    """When not all were granted: ask again for the others after this time."""
    refused: str = ""
    """Why the first one that was not granted can never be sent; empty where waiting helps."""
    stopped: str = ""
    """Non-empty when the job is over, with the cause."""


@dataclass(frozen=True)
class Settlement:
    """How a leased request ended."""

    lease: int
    tokens: int = 0
    """Tokens used; 0 where the endpoint did not say."""
    usd: float = 0.0
    answered: bool = False
    """A reply came."""
    uncertain: bool = False
    """The request broke off: it may have been charged, so the budget takes it as if it had been, in full."""
    refused_for_rate: bool = False
    pause_seconds: float | None = None
    """The endpoint's Retry-After."""
    stated: StatedLimits | None = None
    """What the endpoint's headers say of its limits."""


@dataclass
class Figures:
    """What happened so far, for people and for metrics."""

    sent: int = 0
    answered: int = 0
    refused_for_rate: int = 0
    tokens: int = 0
    usd: float = 0.0
    """Charged by replies that came."""
    committed_usd: float = 0.0
    """What the budget counts: also earlier starts, requests in flight, and those that broke off."""
    in_flight: int = 0
    share: float = 1.0
    """Of the configured rate that is in use, lowered by refusals."""
    held_by: str = ""
    """What the request next in line waited for when it last asked: `pause`, `requests`, `tokens`, `places`, `budget`;
    empty where it was granted."""


@dataclass(frozen=True)
class _Lease:
    ask: Ask
    tokens: float
    """Taken for it from the bucket."""
    at: float


@dataclass
class Limiter:
    """All limits of one job. `fresh` is false after a restart: what the last second took is not known."""

    limits: Limits
    now: float
    spent_usd: float = 0.0
    fresh: bool = True
    next_lease: int = 0
    figures: Figures = field(default_factory=Figures)

    def __post_init__(self) -> None:
        self.requests_per_minute = self.limits.requests_per_minute
        self.tokens_per_minute = self.limits.tokens_per_minute
        self.requests = Bucket(self.requests_per_minute, self.now, self.fresh)
        self.tokens = Bucket(self.tokens_per_minute, self.now, self.fresh)
        self.pace = Pace(self.now)
        self.budget = Budget(self.limits.max_usd, self.spent_usd)
        self.leases: dict[int, _Lease] = {}
        self.paused_until = self.now
        self.used_share = 1.0
        """Of the tokens that requests may take, what they took lately: a lease takes so much ahead."""
        self.unanswered = 0
        self.stopped_by = ""

    def lease(self, asks: list[Ask], now: float) -> Grant:
        """Grant the first so many of these requests as all limits allow."""
        self._advance(now)
        granted: list[int] = []
        for ask in asks:
            if refused := self._never(ask):
                return Grant(tuple(granted), refused=refused)
            if self.budget.never_fits(ask.usd):
                self.stop(budget_is_spent(self.budget, section=self.limits.section))
            if self.stopped_by:
                return Grant(tuple(granted), stopped=self.stopped_by)
            if wait := self._wait_seconds(ask, now):
                self.figures.held_by = self._held_by(ask, now)
                return Grant(tuple(granted), wait_seconds=wait)
            granted.append(self._take(ask, now))
            self.figures.held_by = ""
        return Grant(tuple(granted))

    def settle(self, settlement: Settlement, now: float) -> None:
        """A leased request ended. A lease it does not know was granted before a restart, or has expired."""
        self._advance(now)
        if settlement.answered:
            self.unanswered = 0
            self.figures.answered += 1
            self.figures.tokens += settlement.tokens
            self.figures.usd += settlement.usd
        if settlement.stated is not None:
            self._learn(settlement.stated, now)
        if settlement.pause_seconds:
            self.paused_until = max(self.paused_until, now + settlement.pause_seconds)
        lease = self.leases.pop(settlement.lease, None)
        if settlement.refused_for_rate:
            self.figures.refused_for_rate += 1
            self.pace.refused(lease.at if lease else now, now)
            self._set_rates(now)
        if lease is not None:
            known = settlement.answered and settlement.tokens
            used = settlement.tokens if known else lease.tokens * (settlement.answered or settlement.uncertain)
            self.tokens.give_back(lease.tokens - used)
            if known:
                weight = max(_LEARNING_RATE, 1 / (self.figures.answered + 1))
                self.used_share += weight * (used / lease.ask.tokens - self.used_share)
            self.budget.settle(lease.ask.usd, lease.ask.usd if settlement.uncertain else settlement.usd)

    def give_up(self, cause: str) -> None:
        """A draft got no reply after all its tries; after `UNANSWERED_IN_A_ROW` of them the job stops by this cause."""
        self.unanswered += 1
        if self.unanswered >= UNANSWERED_IN_A_ROW:
            self.stop(cause)

    def stop(self, cause: str) -> None:
        """Grant nothing any more. Requests on their way end as they will; the first cause is the one that is told."""
        self.stopped_by = self.stopped_by or cause

    def report(self) -> Figures:
        """The figures so far."""
        self.figures.in_flight, self.figures.share = len(self.leases), self.pace.share
        self.figures.committed_usd = self.budget.committed
        return self.figures

    def _advance(self, now: float) -> None:
        self.pace.grow(now)
        self._set_rates(now)
        while self.leases:  # in the order they were granted
            number, lease = next(iter(self.leases.items()))
            if now - lease.at < self.limits.lease_seconds:
                break
            del self.leases[number]
            self.budget.settle(lease.ask.usd, lease.ask.usd)

    def _set_rates(self, now: float) -> None:
        """Set the rates that hold now, which brings the buckets up to now as well."""
        self.requests.set_rate(self.requests_per_minute * self.pace.share, now)
        self.tokens.set_rate(self.tokens_per_minute * self.pace.share, now)

    def _learn(self, stated: StatedLimits, now: float) -> None:
        """Take what the provider states where it is less than what was configured."""
        if stated.requests_per_minute:
            self.requests_per_minute = min(self.limits.requests_per_minute, stated.requests_per_minute)
        if stated.tokens_per_minute:
            self.tokens_per_minute = min(self.limits.tokens_per_minute, stated.tokens_per_minute)
        self._set_rates(now)
        if stated.requests_left is not None:
            self.requests.at_most(stated.requests_left)
        if stated.tokens_left is not None:
            self.tokens.at_most(stated.tokens_left)

    def _never(self, ask: Ask) -> str:
        if ask.tokens > self.tokens_per_minute:
            return f"the request may take {ask.tokens} tokens and the limit is {self.tokens_per_minute:g} a minute"
        return ""

    def _wait_seconds(self, ask: Ask, now: float) -> float:
        wait = max(
            self.paused_until - now,
            self.requests.wait_seconds(1),
            self.tokens.wait_seconds(ask.tokens * self.used_share),
        )
        if self.limits.in_flight is not None and len(self.leases) >= self.limits.in_flight:
            wait = max(wait, _SOON_SECONDS)
        if not self.budget.fits(ask.usd):
            wait = max(wait, _SOON_SECONDS)
        return wait if wait > 1e-9 else 0.0  # rounding must not send a caller round again for nothing

    def _held_by(self, ask: Ask, now: float) -> str:
        """Of all that a request waits for, what takes longest."""
        if not self.budget.fits(ask.usd):
            return "budget"
        if self.limits.in_flight is not None and len(self.leases) >= self.limits.in_flight:
            return "places"
        waits = {
            "pause": self.paused_until - now,
            "requests": self.requests.wait_seconds(1),
            "tokens": self.tokens.wait_seconds(ask.tokens),
        }
        return max(waits, key=lambda name: waits[name])

    def _take(self, ask: Ask, now: float) -> int:
        self.requests.level -= 1
        tokens = ask.tokens * self.used_share
        self.tokens.level -= tokens
        self.budget.reserve(ask.usd)
        self.next_lease += 1
        self.leases[self.next_lease] = _Lease(ask, tokens, now)
        self.figures.sent += 1
        return self.next_lease


def estimate_tokens(messages: list[Message], max_tokens: int) -> int:
    """Upper-end guess of a request's tokens: UTF-8 bytes over three, the template's few, and the longest reply."""
    size = sum(len(message["content"].encode("utf-8", "surrogatepass")) for message in messages)
    return math.ceil(size / _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(messages) + max_tokens
