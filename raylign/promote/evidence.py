"""What a decision on a model rests on and records: the evaluation's file, and that it is of this checkpoint. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from raylign.config import PromoteConfig
from raylign.errors import ConfigError, InputError
from raylign.evaluate.decision import Decision, decide

MODEL = "aligned"
_PARTS = {"models": dict, "suites": dict, "baseline": str}


def read_results(text: str, place: str) -> dict[str, Any]:
    """The content of `evaluate/suites.json`.

    Raises:
        InputError: it is not what an evaluation writes.
    """
    cure = "run raylign evaluate with --suite in this folder again"
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"{place} is not JSON ({error})", cure) from error
    if not isinstance(found, dict):
        raise InputError(f"{place} holds a {type(found).__name__}, not an object", cure)
    for name, kind in _PARTS.items():
        if not isinstance(found.get(name), kind):
            raise InputError(f"{place} has no {name}", cure)
    return found


def weigh(promote: PromoteConfig, results: Mapping[str, Any], weights: str) -> Decision:
    """The decision on the checkpoint with this digest.

    Raises:
        ConfigError: `promote.metric` is not set, or it or a guard cannot be what it is.
        InputError: the results are of another checkpoint, or lack what is to decide.
    """
    if promote.metric is None:
        known = sorted(
            f"{suite}.{name}"
            for suite, part in results["suites"].items()
            for name, metric in part.get("metrics", {}).items()
            if metric.get("higher_is_better") is not None
        )
        raise ConfigError("promote.metric is null", f"name what decides; evaluated: {', '.join(known) or 'nothing'}")
    evaluated = results["models"].get(MODEL, {}).get("weights")
    if evaluated is not None and evaluated != weights:
        raise InputError(
            f"the evaluation is of another checkpoint ({evaluated}) than the one in the folder ({weights})",
            "run raylign evaluate with --suite again: it asks only for what is new",
        )
    return decide(results, MODEL, promote.metric, promote.bar, promote.guards)


def record(
    decision: Decision,
    promote: PromoteConfig,
    results: Mapping[str, Any],
    results_text: str,
    checkpoint: Mapping[str, str],
    stamps: Mapping[str, Any],
) -> dict[str, Any]:
    """`decision.json`: the decision, what it was asked to keep to, and the evidence it rests on.

    Args:
        results_text: the evaluation's file, byte for byte: its checksum ties the decision to it.
        checkpoint: folder and weights digest of the model that was decided on.
        stamps: time, versions and code state.
    """
    suites = results["suites"]
    used = list(dict.fromkeys(check.metric.partition(".")[0] for check in decision.checks))
    return {
        **decision.shown(),
        "model": MODEL,
        "baseline": results["baseline"],
        "models": results["models"],
        "checkpoint": dict(checkpoint),
        "bounds": {"metric": promote.metric, "bar": promote.bar, "guards": promote.guards},
        "rule": "every bound must hold at the bad end of the difference's 95% interval, paired by row",
        "suites": {name: _identity(suites[name]) for name in used},
        "results_sha256": hashlib.sha256(results_text.encode()).hexdigest(),
        **stamps,
        "served": None,
    }


def in_words(decision: Decision, written: str) -> list[str]:
    """The decision as a few lines for a person."""
    lines = [f"decision  {decision.verdict}: {decision.reason}"]
    lines += [
        f"{check.role:<9} {check.metric} must be {check.required} (aligned − base): {_SHOWN[check.standing]}"
        for check in decision.checks
    ]
    return [*lines, f"evidence  {written}"]


_SHOWN = {"holds": "it is", "fails": "it is not", "open": "cannot be told"}


def _identity(suite: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a suite's run from another one: its version, size, and under what was asked and judged."""
    names: Sequence[str] = ("version", "tasks", "sampling", "judge", "counts")
    return {name: suite[name] for name in names if name in suite}
