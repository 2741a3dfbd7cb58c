"""What requests cost, and a cap on it that requests in flight cannot break. Pure; money in US dollars."""

from dataclasses import dataclass

from raylign.config import EndpointConfig
from raylign.records import Message

_TOKENS_PER_MESSAGE = 16
"""More than any chat format wraps a message in."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Price:
    """Dollars a million tokens."""

    prompt: float
    reply: float

    def usd(self, prompt_tokens: int, reply_tokens: int) -> float:
        """The cost of one request."""
        return (prompt_tokens * self.prompt + reply_tokens * self.reply) / 1e6

    def most_usd(self, messages: list[Message], max_tokens: int) -> float:
        """More than a request can cost: no tokenizer makes more tokens of a text than it has bytes."""
        size = sum(len(message["content"].encode("utf-8", "surrogatepass")) for message in messages)
        return self.usd(size + _TOKENS_PER_MESSAGE * len(messages), max_tokens)


def price_of(endpoint: EndpointConfig) -> Price:
    """The endpoint's configured price; nothing where none is stated."""
    return Price(endpoint.usd_per_million_prompt_tokens or 0.0, endpoint.usd_per_million_reply_tokens or 0.0)


class Budget:
    """What was spent, what is reserved for requests in flight, and what may be spent in all."""

    def __init__(self, cap: float | None, spent: float = 0.0) -> None:
        self.cap = float("inf") if cap is None else cap
        self.spent = spent
        """Charged, or perhaps charged: a request that broke off counts in full."""
        self.reserved = 0.0

    @property
    def committed(self) -> float:
        """What will have been spent at most when every request in flight has ended."""
        return self.spent + self.reserved

    def fits(self, usd: float) -> bool:
        """Whether a request that may cost this much can be sent now."""
        return self.committed + usd <= self.cap + _ROUNDING

    def never_fits(self, usd: float) -> bool:
        """Whether it cannot be sent even when all requests in flight turn out to cost nothing."""
        return self.spent + usd > self.cap + _ROUNDING

    def reserve(self, usd: float) -> None:
        """A request is sent."""
        self.reserved += usd

    def settle(self, reserved: float, charged: float) -> None:
        """It ended, and was charged this much."""
        self.reserved = max(0.0, self.reserved - reserved)
        self.spent += charged


def budget_is_spent(budget: Budget, next_one: str = "request", section: str = "revise") -> str:
    """What to tell a person when the next request, or the next batch of them, might break the cap of this section."""
    return (
        f"{section}.max_usd is {budget.cap:g} and ${budget.spent:.4f} of it is spent: the next {next_one} could exceed "
        f"it; everything paid for is kept. To go on, raise {section}.max_usd and run the same command again"
    )
