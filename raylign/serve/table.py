"""The words of `serve status`; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from raylign.serve.look import Deployment


@dataclass(frozen=True)
class Row:
    """A served name."""

    name: str
    source: str
    on: str | None
    """For an adapter, the model whose engine carries it; replicas and load are that engine's."""
    deployment: Deployment | None
    ongoing: int | None


def lines(url: str, health: str, started: str, rows: Sequence[Row]) -> list[str]:
    """The endpoint in a line, and a table of what it serves."""
    table = [("model", "state", "replicas", "ongoing", "from"), *map(_cells, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    text = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]) for row in table
    ]
    return [f"{url}  {health}, since {started}", *text]


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    state = row.deployment.status.lower() if row.deployment else "gone"
    if row.deployment and state == "healthy" and not row.deployment.replicas:
        state = "asleep"
    source = f"{row.source} (on {row.on})" if row.on else row.source
    return row.name, state, _replicas(row.deployment), "?" if row.ongoing is None else str(row.ongoing), source


def _replicas(deployment: Deployment | None) -> str:
    """`2`, or with those on their way: `1 +1 starting`."""
    if deployment is None:
        return "0"
    others: dict[str, int] = {}
    for state in deployment.replicas.values():
        if state != "RUNNING":
            others[state.lower()] = others.get(state.lower(), 0) + 1
    return " ".join([str(len(deployment.running)), *(f"+{count} {state}" for state, count in sorted(others.items()))])
