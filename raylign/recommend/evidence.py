"""Whether chosen answers are better than the model's own: the evidence, its intervals, and what it decides. Pure.

APO-zero is for a model that is weaker than the chosen answers, APO-down for one that is stronger (arXiv 2408.06266, the
section on APO). So one question decides: chosen answers against what the model itself writes. Evidence of it, the
strongest first:

1. A judge compares both, each standing first once. It says as much as the judge knows.
2. The labels, where the rejected answers are the model's own samples: whoever made the pairs says that the chosen are
   better. It says as much as that reviser can be trusted.
3. The likelihood, which by itself says nothing of quality: an answer is unlikely where it is beyond the model, and just
   as unlikely where it is beneath it, and a likely one may be merely fluent. It can only stand in for knowing whose
   answers these are. Where the rejected answers are as likely as the model's own samples, and the chosen ones are not,
   they are such as it writes, and the labels hold as in 2. All is per token, for a sum would compare lengths; style
   still moves it. It never speaks for APO-down.

The strongest kind that is there decides alone, by a 95% interval over prompts; the others are shown beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raylign.evaluate.statistics import Estimate, mean_difference, wilson_interval

Objective = Literal["apo_zero", "apo_down"]
Basis = Literal["judgement", "labels", "likelihood"]

FEWEST_SCORED = 10
"""Prompts: a bootstrap over fewer is too sure of itself."""
FEWEST_PREFERENCES = 6
"""Prompts: with fewer, chance alone makes all preferences agree more often than once in 20 times."""
ALIKE = 0.1
"""Nats a token: own samples that are at most so much likelier than other answers do not tell the two apart."""
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Scored:
    """Log-probabilities a token of a prompt's three answers under the model, in nats."""

    prompt: str
    """Prompts are what is resampled: pairs of one prompt count as one."""
    own: float
    chosen: float
    rejected: float


@dataclass(frozen=True)
class Likelihood:
    """How likely the model finds the answers: means over prompts, in nats a token, and differences with intervals."""

    prompts: int
    own: float
    chosen: float
    rejected: float
    chosen_over_rejected: Estimate
    own_over_chosen: Estimate
    own_over_rejected: Estimate


@dataclass(frozen=True)
class Outcome:
    """What a judge said of a chosen answer against the model's own, in both orders together."""

    prompt: str
    score: float
    """1 where the chosen answer is preferred, 0 where the model's own is, 0.5 for neither."""


@dataclass(frozen=True)
class Judgement:
    """How often the chosen answer wins where there is a preference; where there is none, nothing speaks for either."""

    judge: str
    also_wrote_chosen: bool
    """The judge is the model that wrote the chosen answers, and may prefer its own style."""
    chosen_wins: int
    own_wins: int
    neither: int
    prompts: int
    """Prompts with a preference."""
    win_rate: float | None
    """Of the chosen answers, mean over these prompts."""
    ci95: list[float] | None
    """Wilson's, with these prompts as observations: of values between 0 and 1 it is too wide rather than too narrow."""


@dataclass(frozen=True)
class Decision:
    """The objective, or None where the evidence does not decide; on which kind of evidence, and why."""

    objective: Objective | None
    basis: Basis
    reason: str


def weigh_likelihood(scored: Sequence[Scored], seed: int) -> Likelihood | None:
    """The likelihood evidence; None where nothing was scored."""
    by_prompt: dict[str, list[Scored]] = {}
    for one in scored:
        by_prompt.setdefault(one.prompt, []).append(one)
    if not by_prompt:
        return None
    own, chosen, rejected = (
        [sum(getattr(one, side) for one in group) / len(group) for group in by_prompt.values()]
        for side in ("own", "chosen", "rejected")
    )
    count = len(by_prompt)
    return Likelihood(
        count,
        sum(own) / count,
        sum(chosen) / count,
        sum(rejected) / count,
        mean_difference(rejected, chosen, resamples=_RESAMPLES, seed=seed),
        mean_difference(chosen, own, resamples=_RESAMPLES, seed=seed),
        mean_difference(rejected, own, resamples=_RESAMPLES, seed=seed),
    )


def weigh_judgement(outcomes: Sequence[Outcome], judge: str, also_wrote_chosen: bool) -> Judgement:
    """The judge's evidence."""
    by_prompt: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.score != 0.5:
            by_prompt.setdefault(outcome.prompt, []).append(outcome.score)
    hits = sum(sum(scores) / len(scores) for scores in by_prompt.values())
    prompts = len(by_prompt)
    wins, losses, ties = (sum(outcome.score == score for outcome in outcomes) for score in (1, 0, 0.5))
    rate = hits / prompts if prompts else None
    return Judgement(judge, also_wrote_chosen, wins, losses, ties, prompts, rate, wilson_interval(hits, prompts))


def decide(likelihood: Likelihood | None, judgement: Judgement | None, rejected_are_own: bool) -> Decision:
    """What the strongest kind of evidence that is there says."""
    if judgement is not None:
        return _by_judgement(judgement)
    if rejected_are_own:
        return Decision(
            "apo_zero",
            "labels",
            "the rejected answers are the model's own, and the pairs say that the chosen ones are better",
        )
    return _by_likelihood(likelihood)


def _by_judgement(judgement: Judgement) -> Decision:
    low, high = judgement.ci95 or [0.0, 1.0]
    if judgement.prompts < FEWEST_PREFERENCES:
        return Decision(
            None,
            "judgement",
            f"preferences on {judgement.prompts} prompts are too few, {FEWEST_PREFERENCES} are needed",
        )
    if low > 0.5:
        return Decision("apo_zero", "judgement", "the judge prefers the chosen answers to the model's own")
    if high < 0.5:
        return Decision("apo_down", "judgement", "the judge prefers the model's own answers to the chosen ones")
    return Decision(
        None, "judgement", "the judge sees no clear difference between the chosen answers and the model's own"
    )


def _by_likelihood(likelihood: Likelihood | None) -> Decision:
    prompts = likelihood.prompts if likelihood else 0
    if likelihood is None or prompts < FEWEST_SCORED:
        return Decision(None, "likelihood", f"{prompts} scored prompts are too few, {FEWEST_SCORED} are needed")
    below, apart = likelihood.chosen_over_rejected.high, likelihood.own_over_rejected.high
    if below is not None and below < 0 and apart is not None and apart < ALIKE:
        return Decision(
            "apo_zero",
            "likelihood",
            "the rejected answers are as likely as the model's own and the chosen ones are not, so the pairs lead away "
            "from what it writes; this is weak evidence",
        )
    return Decision(None, "likelihood", "whether the model writes better than the chosen answers takes a judge to tell")
