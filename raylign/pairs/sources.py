"""What each source of pairs calls its parts, for the screen and the report. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """The words of one value of `pairs.source`."""

    candidates: str
    """What becomes a pair or a rejection each, in the plural."""
    chosen: str
    rejected: str
    asked: str
    """The part that the model named in `revise` plays; empty where it plays none."""
    cure: str = "the reviser (revise.*)"
    """What to mend where no candidate became a pair."""


SOURCES = {
    "clair": Source("drafts", "the revised answer", "the model’s own draft", "Reviser"),
    "stronger": Source("drafts", "the stronger model’s answer", "the model’s own draft", "Stronger model"),
    "judge": Source(
        "prompts",
        "the draft that the judge prefers",
        "another draft of the same model",
        "Judge",
        "the drafts (sample.*) and the judge (revise.*)",
    ),
    "offpolicy": Source(
        "imported rows",
        "the better answer of the import",
        "the worse answer of the import",
        "",
        "the import (offpolicy.*)",
    ),
}
