"""A recommendation as a person reads it. Pure."""

from raylign.evaluate.statistics import Estimate
from raylign.recommend.evidence import Decision, Judgement, Likelihood

_BASES = {"judgement": "judgement", "labels": "the pairs' labels", "likelihood": "likelihood"}


def lines(
    decision: Decision, likelihood: Likelihood | None, judgement: Judgement | None, without_verdict: dict[str, int]
) -> list[str]:
    """The recommendation first, then all evidence, the deciding kind and the others."""
    verdict = f"train.objective={decision.objective}" if decision.objective else "none: the evidence does not decide"
    shown = [f"recommend  {verdict}, by {_BASES[decision.basis]}: {decision.reason}"]
    if judgement is None:
        shown.append("judgement  no judge: set revise.base_url and revise.model to have answers compared")
    else:
        shown += _judged(judgement, without_verdict)
    if likelihood is None:
        shown.append("likelihood nothing could be scored")
    else:
        shown += [
            f"likelihood nats a token: own samples {likelihood.own:.2f}, chosen {likelihood.chosen:.2f}, rejected "
            f"{likelihood.rejected:.2f}, on {likelihood.prompts} prompts",
            f"           own over chosen {_estimate(likelihood.own_over_chosen)}; own over rejected "
            f"{_estimate(likelihood.own_over_rejected)}; chosen over rejected "
            f"{_estimate(likelihood.chosen_over_rejected)}: this tells what is like its own, not what is good",
        ]
    return shown


def _judged(judgement: Judgement, without_verdict: dict[str, int]) -> list[str]:
    wins = f"{judgement.chosen_wins} for the chosen, {judgement.own_wins} for the own answer"
    counts = f"{wins}, {judgement.neither} for neither"
    if judgement.win_rate is None or judgement.ci95 is None:
        shown = [f"judgement  {judgement.judge} gave no preference: {counts}"]
    else:
        low, high = judgement.ci95
        shown = [
            f"judgement  by {judgement.judge}, in both orders: the chosen answer beats the model's own in "
            f"{judgement.win_rate:.0%} (95% interval {low:.0%} to {high:.0%}) of {judgement.prompts} prompts with a "
            f"preference ({counts})"
        ]
    if judgement.also_wrote_chosen:
        shown.append(f"           {judgement.judge} also wrote the chosen answers and may prefer its own style")
    if without_verdict:
        counts = ", ".join(f"{reason} {count}" for reason, count in sorted(without_verdict.items()))
        shown.append(f"           pairs without a verdict: {counts}")
    return shown


def _estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"unknown ({estimate.reason})"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.2f} ({estimate.reason})"
    return f"{estimate.value:+.2f} (95% interval {estimate.low:+.2f} to {estimate.high:+.2f})"
