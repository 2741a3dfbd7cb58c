"""Asks what has no answer on disk yet, and gives the answers of all. This acts."""

from collections.abc import Sequence
from functools import partial

from raylign.evaluate.answering import Answering
from raylign.evaluate.rows import Answer, Question, latest
from raylign.parts import read_records
from raylign.revise.asking import Inquiry, ask_all
from raylign.revise.pending import windows_of
from raylign.revise.reasons import TRANSIENT
from raylign.screen import StageProgress


def ask_questions(
    asked: Sequence[Question], inquiry: Inquiry, work: Answering, progress: StageProgress
) -> dict[str, Answer]:
    """The rows of all questions by id; what failed for a passing reason in an earlier start is asked again.

    Raises:
        InputError, EndpointError, PlanError: see `raylign.revise.asking.ask_all`.
    """
    have = latest(read_records(inquiry.rows, Answer))
    waiting = [question for question in asked if question.id not in have or have[question.id].status in TRANSIENT]
    if waiting:
        done, total = len(asked) - len(waiting), len(asked)
        progress.update(done, total, "waiting for the endpoint")
        ask_all(inquiry, work, partial(windows_of, Question, waiting), done, total, progress)
        have = latest(read_records(inquiry.rows, Answer))
    return {question.id: have[question.id] for question in asked if question.id in have}
