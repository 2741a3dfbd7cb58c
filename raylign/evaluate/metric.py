"""One figure of a suite, row by row, and its summary: each model's score and each difference, with intervals. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from raylign.evaluate.statistics import Estimate, decides_at, mean_difference, mean_score


@dataclass(frozen=True)
class Metric:
    """One figure of a suite, row by row, for every model."""

    name: str
    """E.g. `prompt_strict`; with its suite's name before it, what `promote.metric` names."""
    values: Mapping[str, Mapping[str, float]]
    """Model, then row id, then value; a share is a mean of 0s and 1s. A row that a model has no value for is left out:
    it is in no figure of this model, and in no difference."""
    higher_is_better: bool | None
    """None: neither, as an answer's length."""
    clusters: Mapping[str, str] | None = None
    """Row id, then what the row shares a source with; None: each row its own."""


def summarise(metric: Metric, baseline: str, resamples: int, seed: int) -> dict[str, Any]:
    """The metric as `evaluate/suites.json` has it.

    Returns:
        `models` has each model's mean over its rows, `difference` each other model's mean minus the baseline's over
        the rows that both have, paired by row id; both with a 95% interval, or null for what cannot be computed. Where
        there is no interval a difference's `note` says why; where it holds 0, about how many rows would decide.

    Raises:
        ValueError: the baseline is none of the metric's models, or a value is not finite.
    """
    if baseline not in metric.values:
        raise ValueError(f"metric {metric.name!r} has no values of the baseline {baseline!r}")
    base = metric.values[baseline]
    models, differences = {}, {}
    for model, values in metric.values.items():
        score = mean_score(list(values.values()), clusters_N=_clusters(metric, values), resamples=resamples, seed=seed)
        models[model] = _shown(score, len(values), score.reason)
        if model != baseline:
            shared = [row for row in base if row in values]
            found = mean_difference(
                [base[row] for row in shared],
                [values[row] for row in shared],
                clusters_N=_clusters(metric, shared),
                resamples=resamples,
                seed=seed,
            )
            differences[model] = _shown(found, len(shared), found.reason or decides_at(found, len(shared)))
    rows = {row for values in metric.values.values() for row in values}
    clusters = _clusters(metric, rows)
    return {
        "higher_is_better": metric.higher_is_better,
        "models": models,
        "difference": differences,
        "clusters": None if clusters is None else len(set(clusters)),
    }


def _clusters(metric: Metric, rows: Iterable[str]) -> list[tuple[str, str]] | None:
    """What each row shares a source with, itself where nothing is said of it."""
    if metric.clusters is None:
        return None
    clusters = metric.clusters
    return [("cluster", clusters[row]) if row in clusters else ("row", row) for row in rows]


def _shown(estimate: Estimate, rows: int, note: str) -> dict[str, Any]:
    return {"value": estimate.value, "ci95": estimate.interval, "rows": rows} | ({"note": note} if note else {})
