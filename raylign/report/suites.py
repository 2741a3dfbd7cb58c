"""The suites of an evaluation as tables: each metric by model with its interval, differences, counts, notes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raylign.report.charts import Series, line_chart
from raylign.report.format import percent, signed
from raylign.report.parts import Chart

_DIRECTIONS = {True: "higher is better", False: "lower is better", None: ""}
_MEANINGS = {
    "answer_tokens": "tokens an answer",
    "refusal_rate": "share of answers that decline",
    "cut_off_rate": "share of answers cut by the token limit",
    "win_rate": "share of prompts won against the baseline, a tie counts half",
    "reward_accuracy": "share of pairs whose chosen answer has the higher reward; the baseline’s half is by definition",
    "reward_margin": "reward of the chosen less that of the rejected answer",
    "logp_chosen": "log-probability of the chosen answer, in nats",
    "logp_rejected": "log-probability of the rejected answer, in nats",
}


@dataclass(frozen=True)
class Figure:
    """A value with its interval, as text; `clear` where an interval of a difference leaves zero out."""

    value: str
    interval: str
    rows: int
    clear: bool = False


@dataclass(frozen=True)
class MetricRow:
    """One metric of a suite."""

    name: str
    meaning: str
    models: tuple[Figure, ...]
    differences: tuple[Figure | None, ...]
    """Of each model from the baseline; None for the baseline itself."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SuiteTable:
    """One suite."""

    name: str
    version: str
    tasks: int
    models: tuple[str, ...]
    metrics: tuple[MetricRow, ...]
    counts: tuple[tuple[str, str], ...]
    """Model, and what became of its tasks."""
    judged: tuple[tuple[str, str], ...]
    """Model, and how the judge decided and agreed with itself."""
    notes: tuple[str, ...]
    charts: tuple[Chart, ...]


def suite_tables(results: Mapping[str, Any]) -> list[SuiteTable]:
    """One table for each suite of `suites.json`, in its order."""
    models = tuple(results.get("models") or ())
    return [_table(name, part, models) for name, part in (results.get("suites") or {}).items()]


def _table(name: str, part: Mapping[str, Any], models: tuple[str, ...]) -> SuiteTable:
    return SuiteTable(
        name=name,
        version=str(part.get("version", "")),
        tasks=int(part.get("tasks", 0)),
        models=models,
        metrics=tuple(_metric(metric, found, models) for metric, found in (part.get("metrics") or {}).items()),
        counts=tuple((model, _in_words(found)) for model, found in (part.get("counts") or {}).items()),
        judged=tuple((model, _judged(found)) for model, found in (part.get("judged") or {}).items()),
        notes=tuple(part.get("notes") or ()),
        charts=tuple(_movement_charts(part.get("movement") or {})),
    )


def _metric(name: str, found: Mapping[str, Any], models: tuple[str, ...]) -> MetricRow:
    differences = found.get("difference") or {}
    notes = [found.get("note"), *(change.get("note") for change in differences.values())]
    meaning = ", ".join(filter(None, (_MEANINGS.get(name, ""), _DIRECTIONS[found.get("higher_is_better")])))
    return MetricRow(
        name=name,
        meaning=meaning,
        models=tuple(_figure((found.get("models") or {}).get(model)) for model in models),
        differences=tuple(_difference(differences[model]) if model in differences else None for model in models),
        notes=tuple(dict.fromkeys(note for note in notes if note)),
    )


def _figure(found: Mapping[str, Any] | None) -> Figure:
    if not found or found.get("value") is None:
        return Figure("–", "", int((found or {}).get("rows", 0)))
    interval = found.get("ci95")
    return Figure(
        _number(found["value"]), f"{_number(interval[0])} to {_number(interval[1])}" if interval else "", found["rows"]
    )


def _difference(found: Mapping[str, Any]) -> Figure:
    if found.get("value") is None:
        return Figure("–", "", int(found.get("rows", 0)))
    interval: list[float] | None = found.get("ci95")
    clear = interval is not None and not interval[0] <= 0 <= interval[1]
    words = f"{signed(interval[0], 3)} to {signed(interval[1], 3)}" if interval else ""
    return Figure(signed(found["value"], 3), words, found["rows"], clear)


def _number(value: float) -> str:
    return (f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}").replace("-", "−")


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _judged(found: Mapping[str, Any]) -> str:
    """For example: 12 win, 3 tie, 5 loss; at equal lengths 61.2% (50% to 71%); same place twice 10% of 20 prompts."""
    outcomes = {name: count for name, count in (found.get("outcomes") or {}).items() if count}
    words = [_in_words(outcomes)] if outcomes else []
    controlled = found.get("length_controlled_win_rate") or {}
    if controlled.get("value") is not None:
        words.append(f"win rate at equal lengths {percent(controlled['value'])}{_between(controlled.get('ci95'))}")
    judge = found.get("judge") or {}
    for key, said in (("position_bias", "named the same place twice"), ("self_consistency", "agreed with itself")):
        if judge.get(key) is not None:
            words.append(f"the judge {said} on {percent(judge[key])}{_between(judge.get(f'{key}_ci95'))}")
    return "; ".join(words)


def _between(interval: list[float] | None) -> str:
    return f" (95% interval {percent(interval[0])} to {percent(interval[1])})" if interval else ""


def _movement_charts(movement: Mapping[str, Mapping[str, list[float]]]) -> list[Chart]:
    """How far each pair's answers moved in likelihood, the pairs in order of that: one chart a model."""
    charts = []
    for model, sides in movement.items():
        series = [Series(side, _quantile_points(sides.get(side) or [])) for side in ("chosen", "rejected")]
        heading = f"Likelihood movement to {model}"
        drawing = line_chart(series, title=heading, x_label="share of the pairs", y_label="nats", x_range=(0.0, 1.0))
        explanation = "Change of an answer’s summed log-probability from the baseline, pairs sorted by it."
        if drawing:
            charts.append(Chart(heading, explanation, drawing, ("chosen", "rejected")))
    return charts


def _quantile_points(values: list[float]) -> list[tuple[float, float]]:
    last = len(values) - 1
    return [(at / last if last else 0.5, value) for at, value in enumerate(values)]
