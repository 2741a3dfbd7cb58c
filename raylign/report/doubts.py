"""What the page says against its own figures: the guards with a verdict each, and what to doubt. Pure."""

from dataclasses import dataclass
from typing import Any

from raylign.report.format import percent, signed
from raylign.report.record import RunRecord

_FEW_PROMPTS = 100
_FEW_PAIRS = 100


@dataclass(frozen=True)
class Guard:
    """A figure that a broken model cannot keep, and how far it may worsen against the base before it is flagged."""

    name: str
    key: str
    slack: float
    high_is_bad: bool
    is_share: bool
    meaning: str


GUARDS = (
    Guard(
        "Empty answers",
        "empty_share",
        0.02,
        True,
        True,
        "A model that says nothing is short, too. Flagged above base + 2 points.",
    ),
    Guard(
        "Repeated 4-grams",
        "repeated_4grams",
        0.0,
        True,
        True,
        "Four-word runs the same answer has said before: a model caught in a loop. Flagged above base.",
    ),
    Guard(
        "Log-probability under base",
        "logprob_under_base",
        2.0,
        False,
        False,
        "How natural the base model finds the answers, in nats a token; broken text sinks. Flagged below base − 2.",
    ),
    Guard(
        "Ended within the limit",
        "ended",
        0.02,
        False,
        True,
        "Answers the model ended itself before the token limit cut them. Flagged below base − 2 points.",
    ),
)


@dataclass(frozen=True)
class GuardRow:
    """One guard's line in the table."""

    name: str
    base: str
    aligned: str
    fine: bool | None
    """None where a figure is missing, so nothing can be said."""
    meaning: str


def guard_rows(evaluate: dict[str, Any]) -> list[GuardRow]:
    """The guards of an evaluation, base and aligned side by side; none where there was no evaluation."""
    ended = evaluate.get("ended_within_limit") or {}
    base = {**(evaluate.get("base_guards") or {}), "ended": ended.get("base")}
    aligned = {**(evaluate.get("guards") or {}), "ended": ended.get("aligned")}
    return [_row(guard, base.get(guard.key), aligned.get(guard.key)) for guard in GUARDS] if evaluate else []


def _row(guard: Guard, base: float | None, aligned: float | None) -> GuardRow:
    fine = None
    if base is not None and aligned is not None:
        worse = aligned - base if guard.high_is_bad else base - aligned
        fine = worse <= guard.slack + 1e-9
    return GuardRow(guard.name, _shown(base, guard.is_share), _shown(aligned, guard.is_share), fine, guard.meaning)


def _shown(value: float | None, is_share: bool) -> str:
    if value is None:
        return "–"
    return percent(value) if is_share else signed(value, 2)


def verdict(rows: list[GuardRow]) -> str:
    """One sentence over the guards; empty where there are none."""
    if flagged := [row.name.lower() for row in rows if row.fine is False]:
        return f"Guards to look at: {', '.join(flagged)}."
    if unknown := [row.name.lower() for row in rows if row.fine is None]:
        return f"No guard objects, but there is no figure for: {', '.join(unknown)}."
    return "No guard objects: nothing points to a broken model." if rows else ""


def caveats(record: RunRecord) -> list[str]:
    """What a careful reader should hold against the figures."""
    found = _evaluation_caveats(record.done.get("evaluate") or {}) + _training_caveats(record.done.get("train") or {})
    found += _judge_caveats(record.done.get("judge") or {})
    if record.starts and (record.starts[-1].get("code") or {}).get("changed"):
        found.append("The code had uncommitted changes, so the commit below does not reproduce this run.")
    return found


def _evaluation_caveats(evaluate: dict[str, Any]) -> list[str]:
    if not evaluate:
        return []
    found = ["Length says how answers changed, not whether they are better or right: read the answers side by side."]
    if (prompts := evaluate.get("prompts", 0)) < _FEW_PROMPTS:
        found.append(f"Only {prompts} held-out prompts: the interval speaks for more prompts like these, no others.")
    if failed := evaluate.get("failed"):
        found.append(f"{failed} requests of the evaluation got no answer; their prompts are in no figure.")
    ended = (evaluate.get("ended_within_limit") or {}).get("base")
    if ended is not None and ended < 0.9:
        found.append(
            f"{percent(1 - ended)} of the base model’s answers were cut at the token limit; they would be longer than "
            "counted, and the change in length would differ without the limit."
        )
    return found


def _judge_caveats(judge: dict[str, Any]) -> list[str]:
    if (bias := judge.get("position_bias")) is None:
        return []
    low, high = judge["position_bias_ci95"]
    return [
        f"The judge named the same place in both orders for {percent(bias)} (95% interval {percent(low)} to "
        f"{percent(high)}) of {judge['judged_twice']} prompts. These gave no pair; among the others, a judge that "
        "guesses agrees with itself half of the time."
    ]


def _training_caveats(train: dict[str, Any]) -> list[str]:
    if not train:
        return []
    found = ["One training run with one seed: no interval here covers how another seed would differ."]
    pairs = (train.get("heldout") or {}).get("pairs") or 0
    if 0 < pairs < _FEW_PAIRS:
        found.append(f"Reward accuracy and margin come from only {pairs} held-out pairs.")
    if dropped := sum((train.get("dropped") or {}).values()):
        found.append(f"{dropped} pairs were left out of training, most often for their length.")
    if truncated := train.get("truncated"):
        found.append(f"{truncated} pairs were trained on with the beginning of their prompt cut off.")
    return found
