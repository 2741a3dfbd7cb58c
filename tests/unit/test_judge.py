"""Which drafts are compared, what the judge is shown, and when its two verdicts make a pair."""

import pickle
from dataclasses import replace
from typing import Any

import pytest
from records import make_draft, user

from raylign.config import PairsConfig, ReviseConfig
from raylign.judge.comparisons import NoComparison, choose_two
from raylign.judge.outcome import agreement, candidates_of, decide
from raylign.judge.work import Judging
from raylign.pairs.build import build_all
from raylign.records import Comparison, Judgement, Pair, Rejected, to_table
from raylign.revise.failures import Failure
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply
from raylign.revise.rows import Call

JUDGING = Judging(ReviseConfig(model="judge", max_repairs=1))
DRAFT = make_draft(
    id="d0", messages=user("Why {{ first }}?"), split="heldout", answer="Because of {{ task }}.", answer_tokens=5
)
OTHER = replace(DRAFT, id="d1", sample_index=1, answer="Since it is so.")
LATER = replace(DRAFT, id="d2", sample_index=2, answer="Nobody can say.")
FORWARD, BACKWARD = JUDGING.comparisons([OTHER, DRAFT])


def judged(comparison: Comparison, outcome: str | Failure) -> Judgement:
    reply = (
        outcome
        if isinstance(outcome, Failure)
        else Reply(f"{comparison.first_id} as A.\nVerdict: {outcome}", "stop", "", 30, 6)
    )
    return JUDGING.to_row(comparison, Call(reply, 1, 0.5))


def outcome(forward: str | Failure | None, backward: str | Failure | None, **pairs: Any) -> Pair | Rejected:
    asked = [(FORWARD, forward), (BACKWARD, backward)]
    judgements = {one.id: judged(one, said) for one, said in asked if said is not None}
    candidates = candidates_of([DRAFT, OTHER], judgements, JUDGING)
    (row,) = build_all(candidates.drafts, candidates.revisions, PairsConfig(**pairs))
    return row


def test_each_draft_stands_first_once() -> None:
    assert [(one.first_id, one.second_id) for one in (FORWARD, BACKWARD)] == [("d0", "d1"), ("d1", "d0")]
    assert FORWARD.id != BACKWARD.id
    request = JUDGING.next_request(FORWARD, [])
    assert request is not None
    text = request[1]["content"]
    assert "Why {{ first }}?" in text, "what users and models write is never read as a template"
    assert text.index("Because of {{ task }}.") < text.index("Since it is so.")
    swapped = JUDGING.next_request(BACKWARD, [])
    assert swapped is not None
    assert swapped[1]["content"].index("Since it is so.") < swapped[1]["content"].index("Because of {{ task }}.")


def test_further_samples_only_step_in_for_drafts_that_failed_or_repeat_another() -> None:
    failed, empty = replace(DRAFT, id="f", status="engine_error", answer=""), replace(DRAFT, id="e", answer=" ")
    same = replace(OTHER, answer="Because  of {{ task }}.\n")
    assert choose_two([DRAFT, OTHER, LATER]) == (DRAFT, OTHER)
    assert choose_two([DRAFT, same, LATER]) == (DRAFT, LATER)
    assert choose_two([failed, empty, OTHER, LATER]) == (OTHER, LATER)
    for drafts, reason in (([DRAFT, failed, empty], "too_few_drafts"), ([DRAFT, same], "same_drafts")):
        found = choose_two(drafts)
        assert isinstance(found, NoComparison)
        assert found.reason == reason
        assert JUDGING.comparisons(drafts) == []


def test_the_draft_that_both_orders_name_is_chosen() -> None:
    pair = outcome("B", "A")
    assert isinstance(pair, Pair)
    assert (pair.chosen[0]["content"], pair.rejected[0]["content"]) == ("Since it is so.", "Because of {{ task }}.")
    assert (pair.draft_id, pair.split, pair.target_model, pair.reviser_model) == ("d0", "heldout", "target", "judge")
    assert (pair.rationale, pair.template.split("@")[0]) == ("d1 as A.", "judge"), "A is the chosen one"
    other = outcome("A", "B")
    assert isinstance(other, Pair)
    assert (other.chosen[0]["content"], other.draft_id) == ("Because of {{ task }}.", "d1")


@pytest.mark.parametrize(
    ("forward", "backward", "reason"),
    [
        ("A", "A", "position_bias"),
        ("B", "B", "position_bias"),
        ("tie", "tie", "tie"),
        ("A", "tie", "tie"),
        ("tie", "A", "tie"),
        ("A", None, "not_judged"),
        (None, None, "not_judged"),
        ("C", "A", "unparsed"),
        ("A", Failure(Reason.BAD_REQUEST, "too long"), "bad_request"),
    ],
)
def test_without_agreement_there_is_no_pair_but_a_reason(
    forward: str | Failure | None, backward: str | Failure | None, reason: str
) -> None:
    row = outcome(forward, backward)
    assert isinstance(row, Rejected)
    assert row.reason == reason
    assert row.detail
    assert row.draft_id == "d0"


def test_a_preferred_draft_that_was_cut_is_not_trained_on_and_filters_run() -> None:
    drafts = [DRAFT, replace(OTHER, cut_off=True)]
    judgements = {one.id: judged(one, said) for one, said in ((FORWARD, "B"), (BACKWARD, "A"))}
    candidates = candidates_of(drafts, judgements, JUDGING)
    (row,) = build_all(candidates.drafts, candidates.revisions, PairsConfig())
    assert isinstance(row, Rejected)
    assert row.reason == "cut_off"
    short = outcome("B", "A", min_chosen_characters=100)
    assert isinstance(short, Rejected)
    assert short.reason == "too_short"


def test_every_prompt_becomes_one_row_whatever_its_drafts() -> None:
    drafts = [
        replace(draft, id=f"{prompt}{draft.id}", prompt_id=prompt, status=status, answer=answer or draft.answer)
        for prompt, status, answer in (("good", "ok", ""), ("bad", "engine_error", ""), ("same", "ok", "All alike."))
        for draft in (DRAFT, OTHER, LATER)
    ]
    rows = candidates_of(drafts, {}, JUDGING)
    built = list(build_all(rows.drafts, rows.revisions, PairsConfig()))
    reasons = {row.prompt_id: row.reason for row in built if isinstance(row, Rejected)}
    assert reasons == {"good": "not_judged", "bad": "engine_error", "same": "same_drafts"}
    assert len(built) == 3


def test_the_position_bias_is_counted_over_prompts_with_two_verdicts() -> None:
    """Ten prompts: three follow the place, five a draft, one is a tie, one has an unread verdict."""
    said = [("A", "A")] * 2 + [("B", "B")] + [("A", "B")] * 5 + [("tie", "A"), ("A", "?")]
    rows = [
        replace(judged(comparison, text), prompt_id=str(number))
        for number, texts in enumerate(said)
        for comparison, text in zip((FORWARD, BACKWARD), texts, strict=True)
    ]
    figures = agreement(rows)
    assert (figures["judged_twice"], figures["position_bias"]) == (9, round(3 / 9, 4))
    assert figures["verdicts"] == {"first": 11, "second": 7, "tie": 1}
    low, high = figures["position_bias_ci95"]
    assert low == pytest.approx(0.1206, abs=1e-3), "Wilson's interval of 3 in 9"
    assert high == pytest.approx(0.6458, abs=1e-3)
    nothing = agreement([])
    assert (nothing["position_bias"], nothing["position_bias_ci95"]) == (None, None)


def test_an_unread_verdict_is_asked_for_again_as_often_as_configured() -> None:
    unread = Reply("A is better.", "stop")
    repair = JUDGING.next_request(FORWARD, [unread])
    assert repair is not None
    assert repair[:2] == JUDGING.next_request(FORWARD, [])
    assert repair[2]["content"] == "A is better."
    assert "no verdict is named" in repair[3]["content"]
    assert JUDGING.next_request(FORWARD, [unread, unread]) is None
    assert JUDGING.next_request(FORWARD, [Reply("Verdict: A", "stop")]) is None
    row = JUDGING.to_row(
        FORWARD, Call(Reply("A", "stop", "", 40, 1), 2, 0.1, earlier=(replace(unread, reply_tokens=3),))
    )
    assert (row.choice, row.repairs, row.attempts, row.reply_tokens, row.id) == ("first", 1, 2, 4, FORWARD.id)


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.STOPPED])
def test_a_failure_is_a_row_with_its_reason_and_no_choice(reason: Reason) -> None:
    row = judged(FORWARD, Failure(reason, "no reply"))
    assert (row.status, row.choice, row.detail) == (reason, "", "no reply")
    to_table(Judgement, [row])


def test_a_judgement_is_another_one_when_what_made_it_is() -> None:
    def identify(**changes: object) -> str:
        return Judging(ReviseConfig(**changes)).judgement_id(DRAFT, OTHER)  # type: ignore[arg-type]

    assert identify() == identify(requests_in_flight=7, guideline="Be brief.")
    different = [identify(), identify(model="x"), identify(max_tokens=7), identify(temperature=1.0)]
    different += [identify(max_repairs=2), Judging(ReviseConfig()).judgement_id(OTHER, DRAFT)]
    assert len(set(different)) == len(different)


def test_decisions_of_ties_say_what_was_said() -> None:
    decision = decide(judged(FORWARD, "tie"), judged(BACKWARD, "A"))
    assert decision.detail == "in the first order a tie, in the second the first answer"


def test_the_work_travels_to_an_actor() -> None:
    travelled = pickle.loads(pickle.dumps(JUDGING))
    assert travelled.next_request(FORWARD, []) == JUDGING.next_request(FORWARD, [])
