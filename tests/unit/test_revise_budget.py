"""What requests cost, and the bound that no request can pass."""

import pytest

from raylign.config import ReviseConfig
from raylign.records import Message
from raylign.revise.budget import Price, price_of


def test_cost_by_hand() -> None:
    """2,000 tokens at $10 a million and 500 at $30: 0.02 + 0.015."""
    price = price_of(ReviseConfig(usd_per_million_prompt_tokens=10, usd_per_million_reply_tokens=30))
    assert price.usd(2000, 500) == pytest.approx(0.035)


def test_without_prices_nothing_costs() -> None:
    assert price_of(ReviseConfig()).usd(10**6, 10**6) == 0.0


def test_the_bound_holds_for_a_tokenizer_that_makes_a_token_of_every_byte() -> None:
    messages: list[Message] = [{"role": "user", "content": "日本 \U0001f600"}]
    price = Price(prompt=1.0, reply=1.0)
    assert price.most_usd(messages, 10) >= price.usd(len(messages[0]["content"].encode()), 10)
