"""A sweep's table: one row a point, as lines for a terminal, as CSV and as a page. Pure."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_DIGITS = {"reward_accuracy": 3, "reward_margin": 3, "chosen_moved": 2, "rejected_moved": 2, "pairs_per_second": 2}
_HEADINGS = {
    "reward_accuracy": "accuracy",
    "reward_margin": "margin",
    "chosen_moved": "chosen moved",
    "rejected_moved": "rejected moved",
    "pairs_per_second": "pairs/s",
    "reference": "reference pass",
}
EXPLANATION = (
    "accuracy and margin: implicit rewards of the held-out pairs; a margin grows with beta. moved: change of an "
    "answer's summed log-probability against the reference, in nats, mean over the held-out pairs. seconds: the whole "
    "training stage, loading and export included."
)


@dataclass(frozen=True)
class Row:
    """One point of the sweep and what came of it; figures are None where it failed."""

    settings: dict[str, Any]
    """The objective, β, the learning rate, and whatever else the grid varies."""
    folder: str
    status: str = "ok"
    """`ok`, or why training failed."""
    pairs: int | None = None
    """Held-out pairs behind the figures."""
    reward_accuracy: float | None = None
    reward_margin: float | None = None
    chosen_moved: float | None = None
    """Change of the held-out chosen answers' summed log-probability against the reference, in nats, mean."""
    rejected_moved: float | None = None
    pairs_per_second: float | None = None
    seconds: float | None = None
    reference: str | None = None
    """`computed` where this point made the reference pass, else `found`."""


def row(settings: dict[str, Any], beta: float, folder: str, done: dict[str, Any]) -> Row:
    """The row of a finished point from the figures of its training stage; `beta` is that of its rewards."""
    heldout = done["heldout"]

    def moved(side: str) -> float | None:
        reward = heldout.get(f"reward_{side}")
        return None if reward is None else reward / beta  # a reward is β times just this

    return Row(
        settings,
        folder,
        pairs=heldout["pairs"],
        reward_accuracy=heldout.get("reward_accuracy"),
        reward_margin=heldout.get("reward_margin"),
        chosen_moved=moved("chosen"),
        rejected_moved=moved("rejected"),
        pairs_per_second=done["pairs_per_second"],
        seconds=done["seconds"],
        reference=done["reference"],
    )


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """Headings, then the rows as a person reads them."""
    names = list(dict.fromkeys(name for one in rows for name in one.settings))
    figures = [*_DIGITS, "seconds", "reference"]
    table = [[*names, *(_HEADINGS.get(name, name) for name in figures)]]
    for one in rows:
        values = [_shown(getattr(one, name), _DIGITS.get(name, 1)) for name in figures]
        if one.status != "ok":
            values[-1] = f"failed: {one.status}"
        table.append([*(_shown(one.settings.get(name), None) for name in names), *values])
    return table


def lines(rows: Sequence[Row]) -> list[str]:
    """The table for a terminal, with what its columns mean below."""
    table = cells(rows)
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]) - 1)]
    aligned = ["  ".join([*map(str.rjust, line[:-1], widths), line[-1]]).rstrip() for line in table]
    return [*aligned, EXPLANATION]


def as_csv(rows: Sequence[Row]) -> str:
    """The rows with unrounded figures, one column a setting and a figure."""
    flat = [one.settings | {name: value for name, value in asdict(one).items() if name != "settings"} for one in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for one in flat for name in one)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def as_page(rows: Sequence[Row], name: str) -> str:
    """The table as a self-contained HTML page; every text is escaped."""
    environment = Environment(
        loader=PackageLoader("raylign.sweep", package_path=""), autoescape=True, undefined=StrictUndefined
    )
    heading, *body = cells(rows)
    folders = [one.folder for one in rows]
    template = environment.get_template("table.html.jinja")
    return template.render(name=name, heading=heading, body=list(zip(folders, body, strict=True)), notes=EXPLANATION)


def _shown(value: Any, digits: int | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}" if digits is None else f"{value:.{digits}f}"
    return str(value)
