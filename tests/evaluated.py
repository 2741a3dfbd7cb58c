"""Results of an evaluation as `raylign evaluate --suite` leaves them in a run folder, for what decides on them."""

import json
from pathlib import Path
from typing import Any


def metric(low: float, high: float, better: bool | None) -> dict[str, Any]:
    """A metric whose difference from the base model has this interval."""
    difference = {"value": (low + high) / 2, "ci95": [low, high], "rows": 541}
    models = {name: {"value": 0.5, "ci95": [0.4, 0.6], "rows": 541} for name in ("base", "aligned")}
    return {"higher_is_better": better, "models": models, "difference": {"aligned": difference}, "clusters": None}


def write_results(run: Path, weights: str, low: float = 0.01, high: float = 0.09) -> None:
    """An aligned model of these weights, better on ifeval by `low` to `high`."""
    metrics = {"prompt_strict": metric(low, high, True), "answer_tokens": metric(-30, -10, None)}
    suite = {"version": "ifeval@123", "tasks": 541, "counts": {"aligned": {"ok": 541}}, "metrics": metrics}
    results = {
        "models": {"base": {"weights": "bundled"}, "aligned": {"weights": weights}},
        "baseline": "base",
        "suites": {"ifeval": suite},
    }
    (run / "evaluate").mkdir(exist_ok=True)
    (run / "evaluate" / "suites.json").write_text(json.dumps(results), encoding="utf-8")
