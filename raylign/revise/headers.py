"""What a provider's response headers say of its limits: how long to wait, how much is allowed and left. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# OpenAI and most servers that speak its API; Anthropic's endpoint turns the words around.
_LIMIT = ("x-ratelimit-limit-{}", "anthropic-ratelimit-{}-limit")
_LEFT = ("x-ratelimit-remaining-{}", "anthropic-ratelimit-{}-remaining")


@dataclass(frozen=True)
class StatedLimits:
    """Limits of a minute and what is left of them; None where a response does not say."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    requests_left: float | None = None
    tokens_left: float | None = None


def read_stated_limits(headers: Mapping[str, str]) -> StatedLimits | None:
    """The limits in a response's headers, or None where they state none."""
    lowered = {name.lower(): value for name, value in headers.items()}
    stated = StatedLimits(
        requests_per_minute=_first(lowered, _LIMIT, "requests"),
        tokens_per_minute=_first(lowered, _LIMIT, "tokens"),
        requests_left=_first(lowered, _LEFT, "requests"),
        tokens_left=_first(lowered, _LEFT, "tokens"),
    )
    return None if stated == StatedLimits() else stated


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds asked for by `retry-after-ms` or `Retry-After` (seconds or an HTTP date, RFC 9110 §10.2.3)."""
    lowered = {name.lower(): value.strip() for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(lowered.get(name))
        if seconds is not None:
            return seconds * unit
    try:
        date = parsedate_to_datetime(lowered["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _first(headers: Mapping[str, str], patterns: tuple[str, ...], what: str) -> float | None:
    found = (_number(headers.get(pattern.format(what))) for pattern in patterns)
    return next((number for number in found if number is not None), None)


def _number(text: str | None) -> float | None:
    """A finite number of at least 0, or None."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0.0 <= number < float("inf") else None
