"""What a reviser's reply was read as. Pure."""

from dataclasses import dataclass

from raylign.revise.reasons import Reason


@dataclass(frozen=True)
class Parsed:
    """The parts of a reply; `revision` is empty unless status is `ok`."""

    status: Reason
    revision: str = ""
    rationale: str = ""
    detail: str = ""
    """What is wrong with the reply, where status is not `ok`; a repair request shows it to the reviser."""


def unparsed(detail: str) -> Parsed:
    """A reply whose revision cannot be told from the rest of it without a doubt."""
    return Parsed(Reason.UNPARSED, detail=detail)
