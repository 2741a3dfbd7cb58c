"""What several parts of the page are built from. Pure."""

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Chart:
    """A drawn chart with its heading, its one-line explanation, and the names of its lines."""

    heading: str
    explanation: str
    drawing: Markup
    legend: tuple[str, ...] = ()
