"""Which pairs are looked at, the model's own answer to each prompt, and what a judge is asked about them. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raylign.judge.outcome import POSITION_BIAS
from raylign.judge.outcome import decide as decide_both
from raylign.judge.work import Judging
from raylign.prompts.normalise import prompt_id
from raylign.recommend.evidence import Outcome
from raylign.records import Draft, Judgement, Pair, Prompt, canonical_json, content_id
from raylign.revise.reasons import Reason

_JUDGED = "judge@"
"""Of `pairs.source=judge`: there the rejected answer is the worse of two samples, so not one like any other."""


@dataclass(frozen=True)
class Case:
    """A pair with the model's own answer to its prompt."""

    pair: Pair
    prompt: str
    """The prompt's id."""
    own: str
    own_cut_off: bool
    """Its own answer ran into the token limit, so a judge would compare a whole answer with a part."""


def choose(pairs: Sequence[Pair], most: int, seed: int) -> list[Pair]:
    """At most so many of the pairs, at random but the same each time."""
    return sorted(pairs, key=lambda pair: content_id("recommend", seed, pair.id))[:most]


def rejected_are_own(pairs: Sequence[Pair], model: str) -> bool:
    """Whether each rejected answer is a sample of this model like any other, by what the pairs say of themselves."""
    return all(pair.target_model == model and not pair.template.startswith(_JUDGED) for pair in pairs)


def prompts_of(pairs: Sequence[Pair]) -> list[Prompt]:
    """The pairs' prompts, each once."""
    found = {prompt_id(pair.prompt): pair for pair in pairs}
    return [Prompt(id_, pair.prompt, pair.split, pair.source) for id_, pair in found.items()]


def cases_from_rejected(pairs: Sequence[Pair]) -> list[Case]:
    """The rejected answers are the model's own."""
    return [Case(pair, prompt_id(pair.prompt), pair.rejected[-1]["content"], pair.rejected_cut_off) for pair in pairs]


def cases_from_drafts(pairs: Sequence[Pair], drafts: Sequence[Draft]) -> list[Case]:
    """The model answered the prompts anew; a pair whose prompt it gave no answer to is left out."""
    answers = {draft.prompt_id: draft for draft in drafts if draft.status == "ok" and draft.answer.strip()}
    found = [(pair, answers.get(prompt_id(pair.prompt))) for pair in pairs]
    return [Case(pair, draft.prompt_id, draft.answer, draft.cut_off) for pair, draft in found if draft is not None]


def to_judge(cases: Sequence[Case]) -> list[Draft]:
    """Own and chosen answer of each case in the form in which the judge stage takes two drafts of a prompt."""
    return [
        draft for case in cases if not case.own_cut_off for draft in (_draft(case, own=True), _draft(case, own=False))
    ]


def outcomes(
    cases: Sequence[Case], judgements: Mapping[str, Judgement], judging: Judging
) -> tuple[list[Outcome], dict[str, int]]:
    """What the judge said of each case, and how many cases have no verdict, by reason; together they are all cases."""
    found: list[Outcome] = []
    without: Counter[str] = Counter()
    for case in cases:
        own, chosen = _draft(case, own=True), _draft(case, own=False)
        if case.own_cut_off:
            without["own_cut_off"] += 1
            continue
        if own.answer.split() == chosen.answer.split():  # the judge stage asks nothing about equal answers
            found.append(Outcome(case.prompt, 0.5))
            continue
        asked = [judgements.get(judging.judgement_id(*order)) for order in ((own, chosen), (chosen, own))]
        decision = decide_both(*asked)
        if decision.status == Reason.OK:
            found.append(Outcome(case.prompt, float(decision.preferred_id == chosen.id)))
        elif decision.status in ("tie", POSITION_BIAS):
            found.append(Outcome(case.prompt, 0.5))
        else:
            without[decision.status] += 1
    return found, dict(without)


def _draft(case: Case, own: bool) -> Draft:
    pair = case.pair
    answer = case.own if own else pair.chosen[-1]["content"]
    return Draft(
        id=content_id("compared", pair.id, own, answer),
        prompt_id=pair.id,  # pairs that share a prompt are compared one by one
        messages=pair.prompt,
        split=pair.split,
        source=pair.source,
        answer=answer,
        model=pair.target_model if own else pair.reviser_model,
        sampling=canonical_json({}),
        sample_index=0 if own else 1,
        prompt_tokens=0,
        answer_tokens=0,
        cut_off=False,
        status="ok",
        detail="",
    )
