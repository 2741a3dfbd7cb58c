"""Numbers and texts as a person reads them. Pure."""

from raylign.records import Message

LONGEST_TEXT = 1500
"""Characters of an example shown on the page."""


def last_turn(messages: list[Message]) -> str:
    """The turn an answer is to, and how many turns came before it."""
    if not messages:
        return ""
    earlier = len(messages) - 1
    lead = f"[after {earlier} earlier turn{'s' * (earlier != 1)}] " if earlier else ""
    return lead + clipped(messages[-1]["content"])


def clipped(text: str) -> str:
    """The text, or its beginning and how much is left out."""
    left = len(text) - LONGEST_TEXT
    return text if left <= 0 else f"{text[:LONGEST_TEXT].rstrip()} … ({left} more characters)"


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, the minus a true one."""
    return f"{value:+.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """A share as a percentage with at most one decimal."""
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 48 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
