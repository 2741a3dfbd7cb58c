"""Which replies are shown back to the reviser, how often, and what is sent then."""

import pytest
from records import make_draft

from raylign.config import ReviseConfig
from raylign.revise.reasons import Reason
from raylign.revise.repair import next_repair, next_request
from raylign.revise.replies import Reply
from raylign.revise.templates import load_template

CLAIR = ReviseConfig(template="clair", max_repairs=2)
TEMPLATE = load_template(CLAIR)
DRAFT = make_draft()
BAD = Reply("Since.", "stop")
WORSE = Reply("{corrected_student_solution} is below", "stop")
GOOD = Reply("{teacher_reasoning}\nSo.\n{corrected_student_solution}\nSince.", "stop")


@pytest.mark.parametrize("reason", Reason)
def test_only_a_whole_reply_in_the_wrong_form_is_repaired(reason: Reason) -> None:
    """A cut reply would be cut again, a refusal is the reviser's own word, and a failure is no reply."""
    assert next_repair(reason, 0, CLAIR) == (reason in (Reason.UNPARSED, Reason.EMPTY))


def test_repairs_end_at_their_limit_and_are_off_by_default() -> None:
    assert [next_repair(Reason.UNPARSED, done, CLAIR) for done in range(4)] == [True, True, False, False]
    assert not next_repair(Reason.UNPARSED, 0, ReviseConfig(template="clair"))


def test_a_draft_is_asked_for_then_repaired_until_its_reply_can_be_read() -> None:
    request = TEMPLATE.messages(DRAFT.messages, DRAFT.answer)
    assert next_request(DRAFT, [], CLAIR, TEMPLATE) == request
    assert next_request(DRAFT, [GOOD], CLAIR, TEMPLATE) is None
    assert next_request(DRAFT, [BAD, GOOD], CLAIR, TEMPLATE) is None
    repair = next_request(DRAFT, [BAD], CLAIR, TEMPLATE)
    assert repair is not None
    assert [message["role"] for message in repair] == ["system", "user", "assistant", "user"]
    assert "no identifier stands before the answer" in repair[-1]["content"]


def test_a_second_repair_shows_the_last_reply_alone_and_a_third_is_not_sent() -> None:
    second = next_request(DRAFT, [BAD, WORSE], CLAIR, TEMPLATE)
    assert second is not None
    assert [message["content"] for message in second if message["role"] == "assistant"] == [WORSE.text]
    assert next_request(DRAFT, [BAD, WORSE, BAD], CLAIR, TEMPLATE) is None


def test_a_cut_or_declined_reply_is_asked_for_once() -> None:
    for reply in (Reply(GOOD.text, "length"), Reply("", "length"), Reply("I cannot help with that.", "stop")):
        assert next_request(DRAFT, [reply], CLAIR, TEMPLATE) is None


def test_a_json_reply_is_repaired_in_its_own_form() -> None:
    revise = ReviseConfig(template="clair", reply_format="json_schema", max_repairs=1)
    repair = next_request(DRAFT, [GOOD], revise, load_template(revise))
    assert repair is not None, "identifiers in text are no JSON object"
    assert "one JSON object" in repair[-1]["content"]
