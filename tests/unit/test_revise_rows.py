"""Which drafts are sent, what row a call becomes, and when the endpoint is given up."""

import pytest
from records import make_draft

from raylign.config import ReviseConfig
from raylign.errors import EndpointError
from raylign.records import Revision, to_table
from raylign.revise.failures import Failure
from raylign.revise.intake import Intake
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply, read_completion
from raylign.revise.rows import Call, to_revision
from raylign.revise.templates import load_template

DRAFT = make_draft(cut_off=True)
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


def test_a_reply_out_of_a_batch_costs_its_share_of_the_price() -> None:
    """20 tokens at $1 and 2 at $5 a million are $30e-6; a batch at half price charges $15e-6."""
    revise = ReviseConfig(model="editor", usd_per_million_prompt_tokens=1.0, usd_per_million_reply_tokens=5.0)
    reply = Reply("Since.", "stop", "", 20, 2, "request-1", price_share=0.5)
    row = to_revision(DRAFT, Call(reply, 0, 0.0), revise, load_template(revise))
    assert row.usd == pytest.approx(15e-6)


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


def test_half_a_surrogate_pair_does_not_reach_a_row() -> None:
    """JSON can spell it, Arrow cannot hold it."""
    outcome = read_completion('{"choices": [{"message": {"content": "a \\ud83d b \\ud83d\\ude00"}}]}', "r")
    assert isinstance(outcome, Reply)
    assert outcome.text == "a \ufffd b \U0001f600"
    to_table(Revision, [revision_of(outcome)])


def test_a_body_of_endless_brackets_is_a_bad_response() -> None:
    outcome = read_completion("[" * 100_000, "")
    assert isinstance(outcome, Failure)
    assert outcome.reason == Reason.BAD_RESPONSE


CLAIR = ReviseConfig(model="editor", template="clair", max_repairs=2)
BAD = Reply("Since.", "stop", "", 20, 2, "request-1")
MENDED = Reply("{teacher_reasoning}\nSo.\n{corrected_student_solution}\nSince.", "stop", "", 50, 8, "request-2")


def repaired(outcome: Reply | Failure, *earlier: Reply) -> Revision:
    call = Call(outcome, attempts=4, latency_seconds=0.5, earlier=earlier)
    return to_revision(DRAFT, call, CLAIR, load_template(CLAIR))


def test_a_repaired_row_holds_the_last_reply_and_what_all_of_them_took() -> None:
    row = repaired(MENDED, BAD, BAD)
    assert (row.status, row.revision, row.rationale, row.reply) == ("ok", "Since.", "So.", MENDED.text)
    assert (row.repairs, row.attempts, row.prompt_tokens, row.reply_tokens) == (2, 4, 90, 12)
    assert row.request_id == "request-2"
    assert repaired(MENDED).repairs == 0


def test_a_row_that_no_repair_mended_says_what_is_wrong_with_the_last_reply() -> None:
    row = repaired(BAD, BAD, BAD)
    assert (row.status, row.repairs, row.revision) == ("unparsed", 2, "")
    assert "identifier" in row.detail


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.STOPPED])
def test_a_repair_that_failed_in_the_moment_leaves_the_draft_to_the_next_run(reason: Reason) -> None:
    row = repaired(Failure(reason, "no reply"), BAD)
    assert (row.status, row.detail, row.repairs) == (reason, "no reply", 0)
    assert (row.prompt_tokens, row.reply_tokens) == (20, 2), "what was paid for is counted"
    assert Intake("http://host/v1", answered=0).take([row]) == []


@pytest.mark.parametrize("reason", [Reason.BAD_REQUEST, Reason.TOO_LARGE])
def test_a_repair_that_can_never_be_sent_leaves_the_reply_as_it_was_read(reason: Reason) -> None:
    row = repaired(Failure(reason, "too long"), BAD)
    assert (row.status, row.reply, row.repairs) == ("unparsed", BAD.text, 0)
    assert row.detail.endswith(f"its repair failed ({reason}: too long)")


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
