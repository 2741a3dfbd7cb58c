"""What to do with each row as it arrives from the pool: write it, or hold it back to the end. Pure.

Rows whose request failed for a passing reason are held back until every item has had its turn. A run that stops
before that tries them again the next time; a run that gets through counts them, so that no row is lost.
"""

from collections import Counter
from typing import Any

from raylign.errors import EndpointError
from raylign.revise.failures import explain_gone
from raylign.revise.reasons import TRANSIENT, Reason


class Intake:
    """The state of one run over its arriving rows, which have a `status` and a `detail` as a `Revision` has."""

    def __init__(self, base_url: str, answered: int) -> None:
        """Start with so many rows of this folder written already."""
        self.base_url = base_url
        self.answered = answered
        self.counts: Counter[str] = Counter()
        self.held: list[Any] = []
        self.stopped_by = ""

    def take(self, rows: list[Any]) -> list[Any]:
        """The rows among these that are to be written now."""
        settled = []
        for row in rows:
            self.counts[row.status] += 1
            if row.status == Reason.STOPPED:
                self.stopped_by = self.stopped_by or row.detail
            elif row.status in TRANSIENT:
                self.held.append(row)
            else:
                settled.append(row)
        self.answered += len(settled)
        return settled

    def rest(self) -> list[Any]:
        """After the last row: those held back, to be written now.

        Raises:
            EndpointError: the job was stopped (a refused key, an endpoint that went away), or got no answer at all.
        """
        if self.stopped_by:
            raise EndpointError(self.stopped_by)
        if self.held and not self.answered:
            last = self.held[-1]
            raise explain_gone(self.base_url, last.status, last.detail)
        return self.held
