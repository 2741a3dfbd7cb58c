"""From a suite's result to what `evaluate/suites.json` says of it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from raylign.evaluate.metric import Metric, summarise
from raylign.evaluate.rows import Answer, Contestant
from raylign.evaluate.suites.readings import OWN
from raylign.evaluate.suites.suite import Reading, SuiteResult


def read_answer(answer: Answer) -> Reading:
    """The reading of a row."""
    return Reading(answer.answer, answer.answer_tokens, answer.finish_reason, answer.status, answer.detail)


def suite_part(
    version: str,
    tasks: int,
    result: SuiteResult,
    settings: Mapping[str, Any],
    baseline: str,
    resamples: int,
    seed: int,
    further: Sequence[Metric] = (),
) -> dict[str, Any]:
    """One suite's entry: version, settings, counts, every metric with its intervals, and what is to be noted.

    Args:
        tasks: What every model was asked, or how many pairs were measured.
        settings: Under what the models, and the judge, were asked.
        further: Metrics beside the suite's own; one of the suite's own name stands back.
    """
    metrics = {metric.name: metric for metric in [*further, *result.metrics]}
    ordered = [*result.metrics, *(metric for metric in further if metrics[metric.name] is metric)]
    part = {
        "version": version,
        "tasks": tasks,
        **settings,
        "counts": result.counts,
        "metrics": {
            metric.name: summarise(metric, baseline, resamples, seed) for metric in ordered if _has_rows(metric)
        },
        **result.extra,
    }
    notes = [*result.extra.get("notes", []), *_unanswered(tasks, result.counts), *_without_rows(ordered)]
    return part | ({"notes": notes} if notes else {})


def merged(
    earlier: Mapping[str, Any] | None, models: Sequence[Contestant], parts: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """`suites.json` with these parts in it; and names of earlier suites that are left out: they were of other models.

    Nothing is lost by that but figures: answers are kept, so these suites can run again and ask for nothing.
    """
    described = {"models": {one.name: {"weights": one.weights} for one in models}, "baseline": models[0].name}
    kept = dict((earlier or {}).get("suites") or {})
    same = all((earlier or {}).get(key) == value for key, value in described.items())
    left_out = [] if same else sorted(name for name in kept if name not in parts)
    return {**described, "suites": {**(kept if same else {}), **parts}}, left_out


def short(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Of each suite and metric the models' values alone: what `done.json` says of them."""
    return {
        name: {
            metric: {model: figure["value"] for model, figure in found["models"].items()}
            for metric, found in part["metrics"].items()
        }
        for name, part in parts.items()
    }


def _has_rows(metric: Metric) -> bool:
    return any(metric.values.values())


def _without_rows(metrics: Sequence[Metric]) -> list[str]:
    return [f"{metric.name} has no row, so there is no figure" for metric in metrics if not _has_rows(metric)]


def _unanswered(tasks: int, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    notes = []
    for model, found in counts.items():
        lost = {reason: count for reason, count in found.items() if reason not in OWN}
        if lost:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(lost.items()))
            notes.append(f"{sum(lost.values())} of {tasks} tasks are in no figure of {model} ({reasons})")
    return notes
