"""Rows of a user's file that cannot be used: where each stands, and when there are too many of them. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from raylign.errors import InputError


@dataclass(frozen=True)
class BadRow:
    """A row that is not what its file should hold: `line` is its line, or its row in formats without lines, from 1."""

    file: str
    line: int
    reason: str
    """One of `raylign.prompts.normalise.Reason`, or for pairs of `raylign.pairs.imported.Reason`."""
    detail: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.reason} ({self.detail})"


def reasons_of(bad: Sequence[BadRow]) -> dict[str, int]:
    """How many rows are bad for each reason, the most frequent first."""
    return dict(Counter(row.reason for row in bad).most_common())


def check_usable(bad: Sequence[BadRow], rows: int, where: str, section: str, max_bad_share: float, cure: str) -> None:
    """Raise an InputError where a file has no rows, none but bad ones, or more than `max_bad_share` of them bad.

    Args:
        rows: All rows of the file.
        where: The file as the error names it, as in "prompts.path x.jsonl".
        section: Section of the configuration that has `max_bad_share`.
        cure: What a file should hold instead.
    """
    if not rows:
        raise InputError(f"{where} holds no rows", cure)
    if not bad:
        return
    reasons = ", ".join(f"{reason} {count}" for reason, count in reasons_of(bad).items())
    what = f"{len(bad)} of {rows} rows in {where} cannot be used ({reasons}); the first is {bad[0]}"
    if len(bad) > max_bad_share * rows:
        raise InputError(f"{what}; {section}.max_bad_share is {max_bad_share}", "mend these rows, or raise it")
    if len(bad) == rows:
        raise InputError(what, cure)
