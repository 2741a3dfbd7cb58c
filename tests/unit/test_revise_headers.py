"""What response headers say of waiting and of limits, in the spellings of the providers."""

from datetime import UTC, datetime

import pytest

from raylign.revise.headers import StatedLimits, read_retry_after, read_stated_limits

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({}, None),
    ],
)
def test_retry_after_spellings(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers, NOW) == seconds


def test_limits_as_openai_states_them() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "30000",
        "X-RateLimit-Remaining-Tokens": "0",
    }
    assert read_stated_limits(headers) == StatedLimits(500, 30000, 499, 0)


def test_limits_as_anthropic_states_them() -> None:
    headers = {"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-tokens-remaining": "39000"}
    assert read_stated_limits(headers) == StatedLimits(50, None, None, 39000)


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "x"}, {"x-ratelimit-limit-requests": "many"}, {"x-ratelimit-limit-requests": "-1"}]
)
def test_headers_that_state_nothing_usable_are_none(headers: dict[str, str]) -> None:
    assert read_stated_limits(headers) is None
