"""What to do with each revision as it arrives: write it, or hold it back to the end. Pure.

Rows whose request failed for a passing reason are held back until every draft has had its turn. A run that stops
before that tries them again the next time; a run that gets through counts them, so that no row is lost.
"""

from collections import Counter

from raylign.errors import EndpointError
from raylign.records import Revision
from raylign.revise.failures import explain_gone
from raylign.revise.reasons import TRANSIENT, Reason


class Intake:
    """The state of one run over its arriving rows; `answered` rows of this folder are written already."""

    def __init__(self, base_url: str, answered: int) -> None:
        self.base_url = base_url
        self.answered = answered
        self.counts: Counter[str] = Counter()
        self.held: list[Revision] = []
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
            else:
                settled.append(revision)
        self.answered += len(settled)
        return settled

    def rest(self) -> list[Revision]:
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
