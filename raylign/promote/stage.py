"""`raylign promote`: decide on a run's checkpoint, write that down, then change what is served. This acts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raylign import __version__
from raylign.config import LoopConfig
from raylign.errors import InputError, RaylignError
from raylign.evaluate.contestants import checkpoint_of, weights_digest
from raylign.evaluate.decision import Verdict
from raylign.promote.evidence import in_words, read_results, record, weigh
from raylign.run_folder import code_state, write_json

RESULTS = "evaluate/suites.json"
DECISION = "decision.json"


def run_promote(config: LoopConfig, run: Path) -> tuple[Verdict, list[str]]:
    """Decide, write `decision.json`, and upgrade the served model where that is asked for; returns what to say.

    The file is whole before anything is changed, and says afterwards what came of it.

    Raises:
        ConfigError, InputError: see `raylign.promote.evidence.weigh`; nothing is written then.
        RaylignError: the served model could not be upgraded; the decision stands in the file.
    """
    promote, checkpoint = config.promote, checkpoint_of(run)
    text = _results_text(run)
    results = read_results(text, str(run / RESULTS))
    weights = weights_digest(checkpoint)
    decision = weigh(promote, results, weights)
    written = record(
        decision,
        promote,
        results,
        text,
        {"folder": str(checkpoint.resolve()), "weights": weights},
        {
            "decided": datetime.now(UTC).isoformat(timespec="seconds"),
            "raylign": __version__,
            "code": code_state(Path(__file__).parent),
        },
    )
    write_json(run / DECISION, written)
    lines = in_words(decision, str(run / DECISION))
    if decision.verdict == "promoted" and promote.served:
        lines.append(_act(run, written, promote.alias, checkpoint))
    elif promote.served:
        lines.append(f"served    {promote.alias} is left as it is")
    return decision.verdict, lines


def _results_text(run: Path) -> str:
    try:
        return (run / RESULTS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(
            f"{run / RESULTS} cannot be read: {reason}",
            "evaluate a suite first, e.g. raylign evaluate --out RUN --suite ifeval",
        ) from error


def _act(run: Path, written: dict[str, Any], alias: str, checkpoint: Path) -> str:
    """Upgrade the served model and note in the decision what came of it."""
    try:
        said = _upgrade(run, alias, checkpoint)
    except RaylignError as error:
        write_json(run / DECISION, written | {"served": {"alias": alias, "upgraded": False, "error": str(error)}})
        raise
    write_json(run / DECISION, written | {"served": {"alias": alias, "upgraded": True, "says": said}})
    return f"served    {said}"


def _upgrade(run: Path, alias: str, checkpoint: Path) -> str:
    """The one place that knows how serving is told."""
    from raylign.serve.upgrade import upgrade

    done = upgrade(run, alias, str(checkpoint.resolve()))
    if not done.replaced:
        return f"{done.name} serves these weights already"
    return f"{done.name} serves {done.after} in the place of {done.before}, after {done.seconds:.0f} s"
