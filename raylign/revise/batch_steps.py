"""What to do about a batch in the state that the provider reports. Pure.

A batch goes from `validating` over `in_progress` and `finalizing` to `completed`. It may also end as `failed` (its
input was not taken, no request was worked on), as `expired` (its time was over) or as `cancelled` (somebody's wish);
the last two leave results of the requests that were worked on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from raylign.errors import EndpointError

_QUEUE_FULL = "token_limit_exceeded"
"""OpenAI's code where the tokens of all waiting batches exceed what the account may have waiting for this model."""
_SHOWN_ERRORS = 3


@dataclass(frozen=True)
class BatchReport:
    """What the provider says of a batch."""

    id: str
    status: str
    total: int = 0
    completed: int = 0
    """Requests that have a reply."""
    failed: int = 0
    """Requests that ended without one."""
    output_file_id: str = ""
    error_file_id: str = ""
    errors: tuple[tuple[str, str], ...] = ()
    """Code and message of what is wrong with the whole batch."""


class Step(StrEnum):
    """What to do next about a batch."""

    WAIT = "wait"
    COLLECT = "collect"
    """Take its results; what has none is for the online stage."""
    RESUBMIT = "resubmit"
    """Take its results; what it never came to goes into a new batch."""
    POSTPONE = "postpone"
    """It was turned away because too much is waiting; its requests go into a new batch once another has ended."""
    GIVE_UP = "give_up"
    """Take its results, and stop: a new batch would end like this one, or is not wanted."""


def next_step(report: BatchReport, others_open: bool) -> Step:
    """The step for a batch; a status that is not known here is taken for one more on the way.

    Args:
        others_open: Whether other batches of this run are on their way.
    """
    if report.status == "completed":
        return Step.COLLECT
    if report.status == "expired":
        return Step.RESUBMIT
    if report.status == "failed":
        return Step.POSTPONE if others_open and _turned_away(report) else Step.GIVE_UP
    return Step.GIVE_UP if report.status == "cancelled" else Step.WAIT


def explain_end(report: BatchReport, base_url: str) -> EndpointError:
    """What to tell a person about a batch that must not be followed by another one like it."""
    if report.status == "cancelled":
        return EndpointError(
            f"batch {report.id} was cancelled at {base_url}; its finished results are kept",
            "to submit what is left, run the same command again",
        )
    if report.status == "expired":
        return EndpointError(
            f"batch {report.id} expired at {base_url} before any of its requests was worked on",
            "run the same command again to submit it anew, or set revise.mode=online",
        )
    said = "; ".join(f"{code}: {message}" for code, message in report.errors[:_SHOWN_ERRORS]) or "no reason given"
    cure = "mend what it names, or set revise.mode=online"
    if _turned_away(report):
        cure = "wait until the account's other batches have ended, or lower revise.batch_requests"
    return EndpointError(f"batch {report.id} failed at {base_url} ({said})", cure)


def progress_words(ended: int, reports: Iterable[BatchReport]) -> str:
    """For example: `batches: 1 ended, 2 open (in_progress): 120 of 300 requests done, 3 failed`.

    Args:
        ended: Batches of this run that have ended.
        reports: Those that are open.
    """
    reports = list(reports)
    states = ", ".join(sorted({report.status for report in reports}))
    done, failed, total = (sum(getattr(each, name) for each in reports) for name in ("completed", "failed", "total"))
    return f"batches: {ended} ended, {len(reports)} open ({states}): {done} of {total} requests done, {failed} failed"


def _turned_away(report: BatchReport) -> bool:
    return any(code == _QUEUE_FULL for code, _ in report.errors)
