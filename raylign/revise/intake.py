"""What to do with each revision as it arrives: write it, hold it back, or give the endpoint up. Pure.

Rows whose request failed for a passing reason are held back until every draft has had its turn. A run that stops
before that tries them again the next time; a run that gets through counts them, so that no row is lost.
"""

from collections import Counter

from raylign.errors import EndpointError
from raylign.records import Revision
from raylign.revise.reasons import TRANSIENT, Reason

UNANSWERED_IN_A_ROW = 50
"""So many rows one after another without any reply, after all their retries, mean that the endpoint is gone."""


class Intake:
    """The state of one run over its arriving rows; `answered` rows of this folder are written already."""

    def __init__(self, base_url: str, answered: int) -> None:
        self.base_url = base_url
        self.answered = answered
        self.counts: Counter[str] = Counter()
        self.held: list[Revision] = []
        self.in_a_row = 0
        self.stopped_by = ""

    def take(self, revisions: list[Revision]) -> list[Revision]:
        """The rows among these that are to be written now."""
        settled = []
        for revision in revisions:
            self.counts[revision.status] += 1
            if revision.status == Reason.STOPPED:
                self.stopped_by = self.stopped_by or revision.detail
            elif revision.status in TRANSIENT:
                self.held.append(revision)
                self.in_a_row += 1
            else:
                settled.append(revision)
                self.in_a_row = 0
        self.answered += len(settled)
        return settled

    def check(self) -> None:
        """Raise an EndpointError when the endpoint seems gone. One that refuses the job first hands back all rows."""
        if self.in_a_row >= UNANSWERED_IN_A_ROW and not self.stopped_by:
            raise self._gone()

    def rest(self) -> list[Revision]:
        """After the last row: those held back, to be written now.

        Raises:
            EndpointError: the endpoint refused the job, or answered nothing at all.
        """
        if self.stopped_by:
            raise EndpointError(self.stopped_by)
        if self.held and not self.answered:
            raise self._gone()
        return self.held

    def note(self) -> str:
        """A few words on how it goes."""
        good = self.counts[Reason.OK]
        return f"{good} revised, {self.counts.total() - good} not"

    def _gone(self) -> EndpointError:
        last = self.held[-1]
        return EndpointError(
            f"{self.base_url} brings no reply any more ({last.status}: {last.detail})",
            "see that the endpoint is well and run the same command again: what was finished is kept",
        )
