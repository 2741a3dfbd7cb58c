"""Which drafts are sent, what row a call becomes, and when the endpoint is given up."""

import pytest

from raylign.config import ReviseConfig
from raylign.errors import EndpointError
from raylign.records import Draft, Revision
from raylign.revise.failures import Failure
from raylign.revise.intake import Intake
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply, read_completion
from raylign.revise.rows import Call, to_revision
from raylign.revise.templates import load_template

DRAFT = Draft(
    "d",
    "p",
    [{"role": "user", "content": "Why?"}],
    "train",
    "set",
    "Because so.",
    "target",
    "{}",
    0,
    3,
    3,
    True,
    "ok",
    "",
)
REVISE = ReviseConfig(model="editor")


def revision_of(outcome: Reply | Failure, attempts: int = 1) -> Revision:
    return to_revision(DRAFT, Call(outcome, attempts, 0.5), REVISE, load_template(REVISE))


def test_a_reply_becomes_a_row_with_its_lineage() -> None:
    row = revision_of(Reply("Since.", "stop", "", 20, 2, "request-1"), attempts=3)
    assert (row.status, row.revision, row.reply) == ("ok", "Since.", "Since.")
    assert (row.draft_id, row.prompt_id, row.split, row.target_model, row.reviser_model) == (
        "d", "p", "train", "target", "editor",
    )  # fmt: skip
    assert (row.answer, row.answer_cut_off, row.template.split("@")[0]) == ("Because so.", True, "guideline")
    assert (row.attempts, row.prompt_tokens, row.reply_tokens, row.request_id) == (3, 20, 2, "request-1")


def test_a_failure_becomes_a_row_with_its_reason() -> None:
    row = revision_of(Failure(Reason.BAD_REQUEST, "prompt too long"))
    assert (row.status, row.detail, row.revision, row.reply) == ("bad_request", "prompt too long", "", "")


@pytest.mark.parametrize("body", ["", "null", "[]", "<html>", '{"choices": []}', '{"choices": [{"message": null}]}'])
def test_an_answer_that_is_no_completion_is_a_bad_response(body: str) -> None:
    outcome = read_completion(body, "")
    assert isinstance(outcome, Failure)
    assert outcome.reason == Reason.BAD_RESPONSE


def test_a_completion_without_usage_or_content_is_read() -> None:
    outcome = read_completion('{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}', "r")
    assert outcome == Reply("", "stop", "", 0, 0, "r")


GOOD = revision_of(Reply("Since.", "stop"))
LATE = revision_of(Failure(Reason.TIMEOUT, "no reply"))
STOPPED = revision_of(Failure(Reason.STOPPED, "the key is wrong"))


def test_unanswered_rows_are_held_back_to_the_end() -> None:
    intake = Intake("http://host/v1", answered=0)
    assert intake.take([GOOD, LATE, GOOD]) == [GOOD, GOOD]
    assert intake.rest() == [LATE]


def test_no_answer_at_all_is_an_error_but_a_last_lost_row_of_a_resumed_run_is_not() -> None:
    alone = Intake("http://host/v1", answered=0)
    alone.take([LATE])
    with pytest.raises(EndpointError, match=r"http://host/v1 brings no reply any more \(timeout: no reply\)"):
        alone.rest()
    resumed = Intake("http://host/v1", answered=9)
    resumed.take([LATE])
    assert resumed.rest() == [LATE]


def test_a_refused_job_hands_back_what_was_finished_and_then_says_why() -> None:
    intake = Intake("http://host/v1", answered=0)
    assert intake.take([GOOD, STOPPED, LATE, GOOD, STOPPED]) == [GOOD, GOOD]
    with pytest.raises(EndpointError, match="the key is wrong"):
        intake.rest()
