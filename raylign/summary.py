"""summary.json: the figures people compare between runs, gathered from what each finished stage found. Pure."""

from typing import Any

from raylign.pairs.sources import SOURCES

_TRAIN = ("objective", "steps", "loss_first", "loss_last")
_HELDOUT = ("pairs", "reward_accuracy", "reward_margin")
_JUDGE = ("comparisons", "verdicts", "judged_twice", "position_bias", "position_bias_ci95")
_SUITE = ("version", "tasks", "counts", "metrics", "judged", "notes")
_EVALUATE = ("prompts", "tokens_base", "tokens_aligned", "change_percent", "ci95", "guards")


def summarise(done: dict[str, dict[str, Any]], suites: dict[str, Any] | None = None) -> dict[str, Any]:
    """The summary of the stages in `done` (stage name to its figures); a stage that has not run is left out.

    Args:
        suites: The `suites` of `evaluate/suites.json`, where any ran.
    """
    summary: dict[str, Any] = {}
    if prompts := done.get("prompts"):
        summary["prompts"] = prompts["prompts"]
    if sample := done.get("sample"):
        summary["drafts"] = sample["drafts"]
    if judge := done.get("judge"):
        summary["judge"] = _pick(judge, _JUDGE)
    if pairs := done.get("pairs"):
        summary |= {"source": pairs.get("source", "clair"), "pairs": pairs["pairs"], "rejected": pairs["rejected"]}
    if train := done.get("train"):
        summary["train"] = _pick(train, _TRAIN)
        summary["heldout"] = _pick(train["heldout"], _HELDOUT)
    if evaluate := done.get("evaluate"):
        rest = {name: value for name, value in evaluate.items() if name not in (*_EVALUATE, "seconds", "suites")}
        summary["evaluate"] = _pick(evaluate, _EVALUATE) | rest
    if suites:
        summary["suites"] = {name: _pick(part, _SUITE) for name, part in suites.items()}
    summary["seconds"] = {name: figures["seconds"] for name, figures in done.items()}
    return summary


def in_words(summary: dict[str, Any]) -> list[str]:
    """The summary as a few lines for a person."""
    lines = []
    if (judge := summary.get("judge")) and judge["position_bias"] is not None:
        low, high = judge["position_bias_ci95"]
        lines.append(
            f"judge     named the same place in both orders for {judge['position_bias']:.0%} "
            f"(95% interval {low:.0%} to {high:.0%}) of {judge['judged_twice']} prompts"
        )
    if "pairs" in summary:
        rejected = sum(summary["rejected"].values())
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(summary["rejected"].items()))
        lines.append(
            f"pairs     {summary['pairs']} from {summary['pairs'] + rejected} {SOURCES[summary['source']].candidates}; "
            f"{rejected} rejected{f' ({reasons})' if reasons else ''}"
        )
    if train := summary.get("train"):
        lines.append(
            f"train     {train['objective']}, {train['steps']} steps, "
            f"loss {train['loss_first']:.3f} to {train['loss_last']:.3f}"
        )
    if heldout := summary.get("heldout"):
        lines.append(_heldout_line(heldout))
    if evaluate := summary.get("evaluate"):
        lines += _evaluate_lines(evaluate)
    for name, part in summary.get("suites", {}).items():
        lines += _suite_lines(name, part)
    return lines


def _suite_lines(name: str, part: dict[str, Any]) -> list[str]:
    """A line for each metric that a higher or a lower value speaks for, and one for each note."""
    lines = []
    for metric, found in part["metrics"].items():
        if found["higher_is_better"] is None:
            continue
        models = ", ".join(f"{model} {_shown(figure['value'])}" for model, figure in found["models"].items())
        changes = "; ".join(
            f"{model} {_signed(change['value'])} ({_interval(change)}, {change['rows']} rows)"
            for model, change in found.get("difference", {}).items()
        )
        lines.append(f"{name:<9} {metric}: {models}{f'; difference {changes}' if changes else ''}")
    return [*lines, *(f"{name:<9} note: {note}" for note in part.get("notes", []))]


def _shown(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "n/a" if value is None else f"{value:+.3f}"


def _interval(figure: dict[str, Any]) -> str:
    if not figure.get("ci95"):
        return figure.get("note") or "no interval"
    low, high = figure["ci95"]
    return f"95% interval {low:+.3f} to {high:+.3f}"


def _heldout_line(heldout: dict[str, Any]) -> str:
    found = [
        f"{words} {heldout[name]:.2f}"
        for name, words in (("reward_accuracy", "reward accuracy"), ("reward_margin", "margin"))
        if name in heldout  # single answers have no accuracy, and none at all have neither
    ]
    return f"held out  {heldout['pairs']} pairs" + (": " + ", ".join(found) if found else "")


def _evaluate_lines(evaluate: dict[str, Any]) -> list[str]:
    guards, base = evaluate["guards"], evaluate.get("base_guards", {})
    return [
        f"answers   {evaluate['tokens_base']:.1f} tokens before, {evaluate['tokens_aligned']:.1f} after: "
        f"{_change(evaluate)} on {evaluate['prompts']} prompts",
        "guards    " + "; ".join(f"{name} {_against(value, base.get(name))}" for name, value in guards.items()),
    ]


def _change(evaluate: dict[str, Any]) -> str:
    change, interval = evaluate["change_percent"], evaluate["ci95"]
    if change is None or interval is None:
        return "too few answers to compare"
    return f"{change:+.1f}% (95% interval {interval[0]:+.1f} to {interval[1]:+.1f})"


def _against(value: float | None, base: float | None) -> str:
    shown = "n/a" if value is None else f"{value:.3f}"
    return shown if base is None else f"{shown} (base {base:.3f})"


def _pick(figures: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: figures[name] for name in names if name in figures}
