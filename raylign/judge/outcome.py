"""What two judgements of the same drafts decide, and how far the judge looks at places instead of answers. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raylign.evaluate.judging import order_agreement
from raylign.judge.comparisons import NoComparison, choose_two, drafts_by_prompt
from raylign.judge.work import Judging
from raylign.pairs.candidates import Candidates
from raylign.records import Draft, Judgement, Revision, content_id
from raylign.revise.reasons import Reason
from raylign.revise.rows import draft_fields

POSITION_BIAS = "position_bias"


@dataclass(frozen=True)
class Decision:
    """`status` is `ok`, with the draft that is preferred, or the reason why there is none."""

    status: str
    preferred_id: str = ""
    detail: str = ""


def decide(forward: Judgement | None, backward: Judgement | None) -> Decision:
    """What the judgements of two drafts in either order say together.

    A preference counts where both orders name the same draft. Where both name the same place it is `position_bias`;
    where one of them sees a tie it is a `tie`. A reply that could not be had or read leaves its own reason.
    """
    if forward is None or backward is None:
        return Decision("not_judged", detail="the judge stage did not get to this prompt")
    for order, judgement in (("first", forward), ("second", backward)):
        if judgement.status != Reason.OK:
            return Decision(judgement.status, detail=f"in the {order} order: {judgement.detail}")
    if "tie" in (forward.choice, backward.choice):
        return Decision("tie", detail=f"in the first order {_said(forward)}, in the second {_said(backward)}")
    if forward.choice == backward.choice:
        return Decision(POSITION_BIAS, detail=f"the judge prefers whatever stands {forward.choice}")
    return Decision("ok", forward.first_id if forward.choice == "first" else forward.second_id)


def candidates_of(drafts: Iterable[Draft], judgements: Mapping[str, Judgement], judging: Judging) -> Candidates:
    """One candidate a prompt: the draft that is not preferred, with the preferred one against it.

    A prompt without a preference is its first draft with the reason. `judgements` are by their id.
    """
    found = Candidates()
    for group in drafts_by_prompt(drafts).values():
        two = choose_two(group)
        if isinstance(two, NoComparison):
            found.add(group[0], _revision(group[0], None, Decision(two.reason, detail=two.detail), [], judging))
            continue
        first, second = two
        asked = [judgements.get(judging.judgement_id(*order)) for order in ((first, second), (second, first))]
        decision = decide(*asked)
        preferred, rejected = None, first
        if decision.status == Reason.OK:
            preferred, rejected = (first, second) if decision.preferred_id == first.id else (second, first)
        found.add(rejected, _revision(rejected, preferred, decision, [row for row in asked if row], judging))
    return found


def agreement(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """How often each verdict was given, and how the judge agrees with itself on prompts judged in both orders."""
    choices = Counter(row.choice for row in judgements if row.status == Reason.OK)
    by_prompt: dict[str, list[str]] = {}
    for row in judgements:
        if row.status == Reason.OK:
            by_prompt.setdefault(row.prompt_id, []).append(row.choice)
    return {
        "verdicts": {choice: choices[choice] for choice in ("first", "second", "tie")},
        **order_agreement((verdicts[0], verdicts[1]) for verdicts in by_prompt.values() if len(verdicts) == 2),
    }


def _said(judgement: Judgement) -> str:
    return "a tie" if judgement.choice == "tie" else f"the {judgement.choice} answer"


def _revision(
    rejected: Draft, preferred: Draft | None, decision: Decision, judgements: list[Judgement], judging: Judging
) -> Revision:
    """The preferred draft in the form that a reviser's answer has, with what the judge said and took in both orders."""
    return Revision(
        id=content_id("judged", rejected.id, *(row.id for row in judgements)),
        **draft_fields(rejected),
        reviser_model=judging.revise.model,
        template=judging.version,
        reply="\n\n".join(row.reply for row in judgements),
        revision=preferred.answer.strip() if preferred else "",
        # Of the order in which the preferred draft was shown as A, so that B is the rejected one.
        rationale=next((row.rationale for row in judgements if row.choice == "first"), "") if preferred else "",
        finish_reason="length" if preferred and preferred.cut_off else "stop",
        status=decision.status,
        detail=decision.detail,
        attempts=sum(row.attempts for row in judgements),
        latency_seconds=sum(row.latency_seconds for row in judgements),
        prompt_tokens=sum(row.prompt_tokens for row in judgements),
        reply_tokens=sum(row.reply_tokens for row in judgements),
        request_id=judgements[0].request_id if judgements else "",
        repairs=sum(row.repairs for row in judgements),
        usd=sum(row.usd for row in judgements),
    )
