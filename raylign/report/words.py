"""What the page says first: the outcome in a sentence, and the figures to remember. Pure."""

from dataclasses import dataclass
from typing import Any

from raylign.evaluate.statistics import wilson_interval
from raylign.report.format import percent, signed
from raylign.report.record import RunRecord

REASONS = {
    "empty": "the chosen answer is empty",
    "cut_off": "a text ran into its token limit",
    "identical": "chosen and rejected answer are the same",
    "marker_leak": "template marks leaked into the chosen answer",
    "alludes": "the chosen answer speaks of being a revision",
    "refusal": "the chosen answer declines where the rejected one answers",
    "repetitive": "the chosen answer repeats itself",
    "too_short": "the chosen answer is too short",
    "too_long": "the chosen answer is far longer than the rejected one",
    "jaccard": "chosen and rejected share too few or too many words",
    "levenshtein": "chosen and rejected differ in too few or too many characters",
    "shared_prefix": "chosen and rejected start alike for too short or too long",
    "language_change": "the chosen answer is in another language than the rejected one",
    "near_duplicate": "the prompt is nearly that of another pair",
    "unparsed": "the reviser's reply could not be parsed",
    "refused": "the reviser declined",
    "timeout": "the reviser did not answer in time",
    "connection": "the connection to the reviser broke",
    "rate_limited": "the reviser's rate limit was reached",
    "server_error": "the reviser's endpoint failed",
    "bad_response": "the reviser's endpoint sent no chat completion",
    "bad_request": "the reviser's endpoint rejected the request",
    "too_large": "one request exceeds the token limit of a minute",
    "engine_error": "the target model's engine failed on the prompt",
    "empty_draft": "the rejected answer is empty",
    "not_revised": "the reviser was not asked",
    "not_judged": "the judge was not asked",
    "too_few_drafts": "fewer than two drafts hold text",
    "same_drafts": "all drafts are the same",
    "tie": "neither answer is the better one",
    "position_bias": "the judge preferred a place, not an answer",
    "duplicate": "the same row came earlier in the import",
    "other_prompt": "the prompt is not one of the run's",
    "not_json": "the row is no JSON",
    "not_object": "the row has no named fields",
    "bad_encoding": "the row's text cannot be decoded",
    "no_prompt": "the row has no prompt",
    "empty_prompt": "the row's prompt is empty",
    "wrong_type": "a field of the row is not what it should be",
    "bad_role": "a turn of the row has an unknown role",
    "bad_turns": "the row's turns are out of order",
    "no_answers": "the row has no answers",
    "different_prompts": "the row's answers are to different prompts",
    "too_few_scores": "the row has fewer than two scored answers",
    "no_verdict": "the row does not say whether its single answer is desirable",
}


@dataclass(frozen=True)
class Tile:
    """One key figure."""

    label: str
    value: str
    note: str


def headline(record: RunRecord) -> str:
    """The run's outcome in a sentence or two."""
    evaluate, train, pairs = (record.done.get(name) for name in ("evaluate", "train", "pairs"))
    if evaluate and evaluate.get("change_percent") is not None:
        return _change(evaluate)
    if evaluate:
        return f"The two models answered, but their answers cannot be compared: {evaluate.get('note', 'no figures')}."
    if train:
        return "A model was trained; it has not been compared with its base model yet."
    if pairs:
        return f"{pairs['pairs']} preference pairs were made; no model has been trained on them yet."
    return "The run has made no pairs yet."


def _change(evaluate: dict[str, Any]) -> str:
    change, interval = evaluate["change_percent"], evaluate.get("ci95")
    before, after = evaluate["tokens_base"], evaluate["tokens_aligned"]
    where = f"on {evaluate['prompts']} held-out prompt{'s' * (evaluate['prompts'] != 1)}"
    means = f"{after:.1f} tokens on average instead of {before:.1f}"
    if interval is None:
        return f"The aligned model’s answers have {means} {where} ({signed(change)}%); too few prompts for an interval."
    between = f"95% interval {signed(interval[0])}% to {signed(interval[1])}%"
    if interval[0] <= 0 <= interval[1]:
        return f"No clear change in answer length {where}: {means} ({signed(change)}%, {between})."
    word = "shorter" if change < 0 else "longer"
    return f"The aligned model’s answers are {abs(change):.1f}% {word} {where}: {means} ({between})."


def tiles(record: RunRecord) -> list[Tile]:
    """The four or fewer figures to remember."""
    found = []
    if (evaluate := record.done.get("evaluate")) and evaluate.get("change_percent") is not None:
        interval = evaluate.get("ci95")
        note = f"95% interval {signed(interval[0])} to {signed(interval[1])}" if interval else "too few for an interval"
        found.append(Tile("Answer length", f"{signed(evaluate['change_percent'])}%", note))
    if train := record.done.get("train"):
        heldout = train.get("heldout") or {}
        found += _heldout_tiles(heldout)
        if train.get("loss_first") is not None and train.get("loss_last") is not None:
            value = f"{train['loss_first']:.3f} → {train['loss_last']:.3f}"
            found.append(Tile("Loss per pair", value, f"first → last of {train.get('steps', '?')} steps"))
    return found


def _heldout_tiles(heldout: dict[str, Any]) -> list[Tile]:
    count, accuracy, margin = (heldout.get(name) for name in ("pairs", "reward_accuracy", "reward_margin"))
    found = []
    if count and accuracy is not None:
        low, high = wilson_interval(accuracy * count, count) or [0.0, 1.0]
        note = f"of {count} held-out pairs; 95% interval {100 * low:.0f} to {100 * high:.0f}%"
        found.append(Tile("Reward accuracy", percent(accuracy), note))
    if count and margin is not None:
        found.append(Tile("Reward margin", f"{signed(margin, 2)}", "held-out mean, chosen − rejected, in nats"))
    return found
