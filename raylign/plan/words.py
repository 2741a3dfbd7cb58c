"""A plan as a table that a person reads. Pure."""

import math
from collections.abc import Callable

from raylign.plan.estimate import Plan, StageTime
from raylign.plan.totals import Range
from raylign.time_left import duration

_BY_SIZE = {
    "answer_tokens": "draft tokens",
    "prompt_tokens": "prompt tokens",
    "reply_tokens": "reply tokens",
    "place_seconds": "time in flight",
}


def table(plan: Plan, max_usd: float | None, at_once: bool = False) -> list[str]:
    """The plan's lines: figures with their intervals, what limits each stage, and whether the money suffices.

    Args:
        at_once: Sampling and revising overlap, so that both together take as long as the longer one.
    """
    rows = [("", "estimate", "95% interval", "")]
    rows += [
        ("draft tokens", *_counts(plan.answer_tokens), ""),
        ("reviser requests", *_counts(plan.calls), ""),
        ("prompt tokens", *_counts(plan.prompt_tokens), ""),
        ("reply tokens", *_counts(plan.reply_tokens), ""),
    ]
    rows.append(("dollars", *_shown(plan.usd, dollars), "" if plan.usd else "no prices are configured"))
    rows.append(("engine hours", *_shown(plan.engine_hours, hours), ""))
    rows.append(("GPU hours", *_shown(plan.gpu_hours, hours), ""))
    for name, stage in (("time to sample", plan.sample), ("time to revise", plan.revise)):
        rows.append((name, *_shown(stage.seconds if stage else None, duration), _bound(stage)))
    if plan.sample and plan.revise:
        sample, revise = plan.sample.seconds, plan.revise.seconds
        both = (sample.or_more(revise), "they overlap") if at_once else (sample.plus(revise), "")
        rows.append(("time of both", *_shown(both[0], duration), both[1]))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}".rstrip() for row in rows]
    return [
        f"plan for {plan.prompts} prompts, by {plan.sampled} of them drawn at random",
        *lines,
        *_remarks(plan, max_usd),
    ]


def _remarks(plan: Plan, max_usd: float | None) -> list[str]:
    remarks = []
    if plan.by_size:
        names = ", ".join(_BY_SIZE[name] for name in plan.by_size)
        remarks.append(f"{names}: scaled by the size of the requests, which is known of all prompts")
    remarks.append(
        f"engines were measured with {plan.sampled} prompts at once and are faster with more: the hours of engines and "
        "GPUs, and a time that engines limit, are rather too high than too low"
    )
    remarks.append("training and evaluation are not in this plan")
    if plan.budget is not None and plan.usd is not None and max_usd is not None:
        most = f"{dollars(plan.usd.value)}, up to {dollars(plan.usd.high)}"
        remarks.append(f"revise.max_usd={max_usd:g}: the run {_VERDICT_WORDS[plan.budget]} ({most})")
    return remarks


_VERDICT_WORDS = {
    "fits": "fits",
    "may not fit": "may exceed it and then stops there, with everything paid for kept",
    "does not fit": "will exceed it and then stops there, with everything paid for kept",
}


def _bound(stage: StageTime | None) -> str:
    return f"limited by {stage.bound_by}" if stage else "not measured: this plan was stopped on the way"


def _counts(figure: Range) -> tuple[str, str]:
    return _shown(figure, count)


def _shown(figure: Range | None, words: Callable[[float], str]) -> tuple[str, str]:
    if figure is None:
        return "unknown", ""
    return words(figure.value), f"{words(figure.low)} to {words(figure.high)}"


def count(number: float) -> str:
    """A whole number with thousands set apart, three digits of which mean something from a thousand on."""
    if not math.isfinite(number):
        return "any"
    digits = max(0, len(str(int(abs(number)))) - 3) if number >= 1000 else 0
    return f"{round(number / 10**digits) * 10**digits:,}"


def dollars(amount: float) -> str:
    """Dollars and cents; small amounts with two digits that mean something."""
    if not math.isfinite(amount):
        return "any"
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.2g}"


def hours(amount: float) -> str:
    """Hours with three digits at most."""
    return f"{amount:.3g}" if amount < 1000 else count(amount)
