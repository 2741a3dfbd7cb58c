"""Whether an evaluated model is to take its baseline's place: by a bar, and by guards that must not fall. Pure.

All is decided by the paired differences, model minus baseline, and by the end of their 95% intervals that speaks
against the model: what is claimed must hold there too.

- The bar: the gain's lower bound must be above `promote.bar`.
- A guard: its bound must hold at the interval's bad end.

Where an interval lies wholly on the wrong side the model is `rejected`: more rows would not help. Where it straddles
what decides it is `undecided`: the evidence is too little, for or against. Either way nothing is promoted.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from raylign.config.guard_bounds import Bound, guard_bounds
from raylign.errors import ConfigError, InputError
from raylign.evaluate.statistics import Estimate, decides_at

Verdict = Literal["promoted", "rejected", "undecided"]
Standing = Literal["holds", "fails", "open"]


@dataclass(frozen=True)
class Check:
    """One figure against what it must keep to."""

    metric: str
    role: Literal["bar", "guard"]
    required: str
    """In words, of the difference model − baseline."""
    difference: float
    ci95: list[float] | None
    rows: int
    standing: Standing
    """`open`: the interval straddles the bound, or there is none."""
    says: str
    """One clause for a person, with the end of the interval that decided."""
    figures: Mapping[str, Any]
    """Each model's own value with its interval, as evaluated."""


@dataclass(frozen=True)
class Decision:
    """What is to be done, on which evidence."""

    verdict: Verdict
    reason: str
    checks: tuple[Check, ...]

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def decide(results: Mapping[str, Any], model: str, metric: str, bar: float, guards: Mapping[str, Any]) -> Decision:
    """The decision on a model by what `evaluate/suites.json` holds.

    Args:
        results: The file's content.
        model: Its name among the evaluated models.
        metric: `SUITE.METRIC`, whose difference must be above `bar`; the other way round where lower is better.
        bar: In the metric's own unit; 0 asks for any gain that is sure.
        guards: `SUITE.METRIC` to its bound, see `raylign.config.guard_bounds`.

    Raises:
        ConfigError: the metric has no better side, or a bound cannot be one.
        InputError: a metric, its suite or the model was not evaluated.
    """
    baseline = _models(results, model)
    found = metric_of(results, metric)
    better = found.get("higher_is_better")
    if better is None:
        raise ConfigError(
            f"promote.metric is {metric!r}, of which neither more nor less is better",
            "name a metric that has a better side; as a guard it may have a band",
        )
    required = Bound(low=bar) if better else Bound(high=-bar)
    checks = [_check(metric, "bar", required, found, model, strict=True)]
    for name, bounds in guard_bounds(guards).items():
        evaluated = metric_of(results, name)
        bound = bounds.of(name, evaluated.get("higher_is_better"))
        checks.append(_check(name, "guard", bound, evaluated, model, strict=False))
    return Decision(_verdict(checks), _reason(checks, model, baseline), tuple(checks))


def metric_of(results: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The summary of a metric, by `SUITE.METRIC`.

    Raises:
        InputError: the suite never ran, or has no such metric.
    """
    suites: Mapping[str, Any] = results.get("suites", {})
    suite, _, metric = name.partition(".")
    if suite not in suites:
        ran = ", ".join(sorted(suites)) or "none"
        raise InputError(
            f"{name} cannot decide: the suite {suite!r} was not evaluated (evaluated: {ran})",
            f"run raylign evaluate --suite {suite} in this folder first",
        )
    metrics: Mapping[str, Any] = suites[suite].get("metrics", {})
    if metric not in metrics:
        close = difflib.get_close_matches(metric, metrics, n=1, cutoff=0.5)
        hint = f"did you mean {suite}.{close[0]}? " if close else ""
        raise InputError(f"the suite {suite!r} has no metric {metric!r}", f"{hint}it has {', '.join(sorted(metrics))}")
    found: Mapping[str, Any] = metrics[metric]
    return found


def _models(results: Mapping[str, Any], model: str) -> str:
    baseline, models = results.get("baseline"), results.get("models", {})
    if model not in models:
        raise InputError(
            f"{model!r} was not evaluated (evaluated: {', '.join(sorted(models)) or 'none'})",
            "set promote.model to one of these, or evaluate it first",
        )
    if model == baseline:
        raise ConfigError(
            f"promote.model is {model!r}, the baseline of the evaluation", "name the model that is to take its place"
        )
    return str(baseline)


def _check(
    name: str, role: Literal["bar", "guard"], bound: Bound, found: Mapping[str, Any], model: str, strict: bool
) -> Check:
    difference = found.get("difference", {}).get(model)
    if difference is None or difference.get("value") is None:
        note = (difference or {}).get("note", "no row was answered by both models")
        raise InputError(
            f"{name} has no difference between {model} and the baseline: {note}",
            "evaluate more rows, or another metric",
        )
    value, interval = float(difference["value"]), difference.get("ci95")
    standing, rows = _standing(bound, interval, strict), int(difference.get("rows", 0))
    note = _too_few(bound, value, interval, rows) if interval else difference.get("note", "")
    return Check(
        metric=name,
        role=role,
        required=bound.words(strict),
        difference=value,
        ci95=interval,
        rows=rows,
        standing=standing,
        says=_says(name, bound, value, interval, standing, note),
        figures=found.get("models", {}),
    )


def _standing(bound: Bound, interval: Sequence[float] | None, strict: bool) -> Standing:
    if interval is None:
        return "open"
    low, high = interval
    if bound.holds(low, strict) and bound.holds(high, strict):
        return "holds"
    apart = low > bound.high or high < bound.low or (strict and (low >= bound.high or high <= bound.low))
    return "fails" if apart else "open"


def _too_few(bound: Bound, value: float, interval: Sequence[float], rows: int) -> str:
    """About how many rows would tell on which side of its bound the figure lies; empty where these do."""
    estimate = Estimate(value, interval[0], interval[1])
    return decides_at(estimate, rows, bound.low) or decides_at(estimate, rows, bound.high)


def _says(
    name: str, bound: Bound, value: float, interval: Sequence[float] | None, standing: Standing, note: str
) -> str:
    if interval is None:
        return f"{name} {value:+.4g} has no interval{f' ({note})' if note else ''}"
    shown = f"{name} {value:+.4g} (95% interval {interval[0]:+.4g} to {interval[1]:+.4g})"
    if standing == "holds":
        return f"{shown} keeps to its bound at the interval's bad end, {bound.worst(*interval):+.4g}"
    if standing == "fails":
        return f"{shown} lies wholly beyond its bound"
    hint = f"; {note}" if note else ""
    return f"{shown} reaches beyond its bound at the interval's bad end, {bound.worst(*interval):+.4g}{hint}"


def _verdict(checks: Sequence[Check]) -> Verdict:
    standings = {check.standing for check in checks}
    if "fails" in standings:
        return "rejected"
    return "undecided" if "open" in standings else "promoted"


def _reason(checks: Sequence[Check], model: str, baseline: str) -> str:
    against = [check for check in checks if check.standing == "fails"] or [
        check for check in checks if check.standing == "open"
    ]
    said = "; ".join(check.says for check in against or checks)
    return f"{model} against {baseline}: {said}"
