"""Whose answers are compared, what a judge is asked about them, and how its verdicts are counted."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from records import make_draft, make_pair, user

from raylign.config import ReviseConfig
from raylign.judge.work import Judging
from raylign.prompts.normalise import prompt_id
from raylign.recommend.cases import (
    Case,
    cases_from_drafts,
    cases_from_rejected,
    choose,
    outcomes,
    prompts_of,
    rejected_are_own,
    to_judge,
)
from raylign.records import Draft, Judgement, Pair
from raylign.revise.replies import Reply
from raylign.revise.rows import Call

JUDGING = Judging(ReviseConfig(model="judge"))


def pair(id_: str, prompt: str = "Why?", chosen: str = "Because it is so.") -> Pair:
    lineage = {"target_model": "target", "reviser_model": "reviser", "template": "clair@1"}
    return make_pair(chosen, "No idea.", id=id_, prompt=user(prompt), **lineage)


def draft(prompt: str, answer: str, **columns: Any) -> Draft:
    return make_draft(prompt_id=prompt_id(user(prompt)), messages=user(prompt), answer=answer, **columns)


def judgements(cases: list[Case], verdict: Callable[[str, str], str]) -> dict[str, Judgement]:
    """A judge's rows on all comparisons of the cases; it is shown both answers by their place."""
    asked = JUDGING.comparisons(to_judge(cases))
    replies = [Reply(f"Verdict: {verdict(one.first, one.second)}", "stop", "", 1, 1) for one in asked]
    rows = [JUDGING.to_row(one, Call(reply, 1, 0.0)) for one, reply in zip(asked, replies, strict=True)]
    return {row.id: row for row in rows}


def test_the_same_pairs_are_looked_at_whatever_their_order() -> None:
    pairs = [pair(str(number)) for number in range(50)]
    first = choose(pairs, 10, seed=1)
    assert len(first) == 10
    assert choose(pairs[::-1], 10, seed=1) == first
    assert choose(pairs, 10, seed=2) != first


def test_rejected_answers_are_the_models_own_only_where_every_pair_says_so() -> None:
    own = [pair("a"), pair("b")]
    assert rejected_are_own(own, "target")
    assert not rejected_are_own(own, "another")
    assert not rejected_are_own([*own, replace(own[0], target_model="unknown")], "target")
    assert not rejected_are_own([replace(own[0], template="judge@2")], "target"), "the worse of two samples is picked"


def test_a_prompt_is_sampled_once_and_serves_all_its_pairs() -> None:
    pairs = [pair("a"), pair("b"), pair("c", "How?"), pair("d", "When?")]
    assert len(prompts_of(pairs)) == 3
    drafts = [draft("Why?", "For a reason."), draft("How?", "Thus.", status="engine_error"), draft("When?", " ")]
    cases = cases_from_drafts(pairs, drafts)
    assert [(case.pair.id, case.own) for case in cases] == [("a", "For a reason."), ("b", "For a reason.")]


def test_each_pair_is_compared_in_both_orders_and_counted_once() -> None:
    cases = cases_from_rejected([pair("a"), pair("b", chosen="I cannot say."), pair("c", "How?")])
    rows = judgements(cases, lambda first, second: "A" if first.startswith("Because") else "B")
    assert len(rows) == 6
    found, without = outcomes(cases, rows, JUDGING)
    assert [outcome.score for outcome in found] == [1.0, 0.5, 1.0], "for b the judge named the same place twice"
    assert len({outcome.prompt for outcome in found}) == 2
    assert without == {}


def test_what_cannot_be_compared_is_counted_by_its_reason() -> None:
    cut, same, unread, unasked = (pair(name, f"{name}?") for name in ("cut", "same", "unread", "unasked"))
    drafts = [
        draft("cut?", "Because it", cut_off=True),
        draft("same?", "Because  it is so."),
        draft("unread?", "Perhaps."),
        draft("unasked?", "Perhaps."),
    ]
    cases = cases_from_drafts([cut, same, unread, unasked], drafts)
    rows = judgements(cases[:3], lambda first, second: "both")
    found, without = outcomes(cases, rows, JUDGING)
    assert [outcome.score for outcome in found] == [0.5], "equal answers need no judge"
    assert without == {"own_cut_off": 1, "unparsed": 1, "not_judged": 1}
    assert len(found) + sum(without.values()) == len(cases)
