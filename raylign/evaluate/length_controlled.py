"""The win rate at equal answer lengths: AlpacaEval 2's length control as a logistic model. Pure numpy.

Judges like longer answers. The model of a preference (Dubois et al., Length-Controlled AlpacaEval, arXiv 2404.04475,
section 3) is, for prompt i,

    P(model preferred)_i = σ(θ + φ · tanh(Δ_i / s)),    Δ_i = length of the model's answer − length of the baseline's,

s the standard deviation of Δ over the prompts. The length-controlled win rate is what it says for Δ = 0: σ(θ).

Departures from AlpacaEval 2, which make its numbers and these not comparable:

- There is no term for an instruction's difficulty. It comes from a joint fit over many models on AlpacaEval's own
  prompts, and must be downloaded; on other prompts there is none.
- The regularisation is a weak ridge on both coefficients (`RIDGE`), and not a penalty chosen by cross-validation along
  with two shortened and lengthened baselines. Its use is that preferences that the lengths, or nothing at all, separate
  without an exception have a finite fit.

The fit is Newton's method on two coefficients, for all resamples at once: a general optimiser for each of thousands of
resamples would take minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raylign.bootstrap import Floats, expanded_percentiles, resampled_counts
from raylign.evaluate.statistics import Estimate, wilson_interval

FORMULA = "σ(θ + φ·tanh(Δlength / sd)), without AlpacaEval's term for instruction difficulty"
RIDGE = 0.01
"""λ of the penalty λ/2 · (θ² + φ²) on the summed log-loss: a normal prior on both of standard deviation 10."""
_STEPS = 50
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class LengthControlled:
    """A model's win rate over a baseline at equal lengths, as a share from 0 to 1."""

    win_rate: Estimate
    length_effect: float | None
    """φ: above 0, longer answers were preferred. None where the lengths do not vary."""
    model_effect: float | None
    """θ: the log odds of the length-controlled win rate."""
    rows: int
    note: str = ""
    """What the figures rest on where the preferences or lengths leave something undetermined."""

    def shown(self) -> dict[str, Any]:
        """As a suite's result has it; `formula` says what was fitted."""
        found = {
            "value": self.win_rate.value,
            "ci95": self.win_rate.interval,
            "rows": self.rows,
            "length_effect": self.length_effect,
            "model_effect": self.model_effect,
            "formula": FORMULA,
            "ridge": RIDGE,
        }
        note = "; ".join(part for part in (self.note, self.win_rate.reason) if part)
        return found | ({"note": note} if note else {})


def length_controlled(
    preference_N: Sequence[float],
    length_model_N: Sequence[float],
    length_baseline_N: Sequence[float],
    *,
    resamples: int,
    seed: int,
) -> LengthControlled:
    """The length-controlled win rate with a 95% interval: a bootstrap of whole prompts, expanded percentiles.

    Every resample is standardised and fitted anew; how far out its percentiles are taken is said at
    `raylign.bootstrap.widened_tail`. Where all preferences are the same, resampling shows no spread and the interval
    is Wilson's of the plain win rate.

    Args:
        preference_N: 1 where the judge prefers the model's answer, 0 where the baseline's, 0.5 for a tie; or a mean
            over both orders.
        length_model_N: length of the model's answer, in the order of `preference_N` and in any unit.
        length_baseline_N: length of the baseline's answer, in the same unit.

    Raises:
        ValueError: the three differ in length, a preference is not in [0, 1], or a length is not finite.
    """
    preference, difference = _checked(preference_N, length_model_N, length_baseline_N)
    count = preference.size
    if count == 0:
        return LengthControlled(Estimate(None, reason="there are no judged rows"), None, None, 0)
    theta, phi = fit(preference, difference, np.ones((1, count)))[:, 0]
    value, varies = float(_logistic(theta)), bool(np.ptp(difference) > 0)
    note = _note(preference, difference)
    if np.ptp(preference) == 0 and preference[0] in (0.0, 1.0):
        low, high = wilson_interval(float(preference.sum()), count) or [0.0, 1.0]
        estimate = Estimate(value, min(low, value), max(high, value))
    elif count == 1:
        estimate = Estimate(value, reason="one row gives no interval")
    else:
        chunks = resampled_counts(count, resamples, seed)
        drawn = np.concatenate([fit(preference, difference, part)[0] for part in chunks])
        low, high = _logistic(np.array(expanded_percentiles(drawn, count)))
        estimate = Estimate(value, float(low), float(high))
    return LengthControlled(estimate, float(phi) if varies else None, float(theta), count, note)


def fit(preference_N: Floats, difference_N: Floats, weights_RN: Floats) -> Floats:
    """θ and φ of R weightings of the same N rows: [2, R].

    Each minimises Σ w·(−y·log p − (1 − y)·log(1 − p)) + λ/2·(θ² + φ²), which is convex with one minimum.

    Args:
        preference_N: y, from 0 to 1.
        difference_N: Δ, the model's length minus the baseline's.
        weights_RN: how often each row counts.
    """
    length = np.tanh(difference_N / _deviation(difference_N, weights_RN)[:, np.newaxis])
    theta, phi = np.zeros((2, weights_RN.shape[0]))
    loss = _loss(theta, phi, preference_N, length, weights_RN)
    for _ in range(_STEPS):
        chance = _logistic(theta[:, np.newaxis] + phi[:, np.newaxis] * length)
        left = weights_RN * (chance - preference_N)
        slope_theta, slope_phi = left.sum(axis=1) + RIDGE * theta, (left * length).sum(axis=1) + RIDGE * phi
        spread = weights_RN * chance * (1 - chance)
        a = spread.sum(axis=1) + RIDGE
        b = (spread * length).sum(axis=1)
        c = (spread * length**2).sum(axis=1) + RIDGE
        scale = a * c - b * b  # positive: the Hessian of a strictly convex function
        step_theta, step_phi = (c * slope_theta - b * slope_phi) / scale, (a * slope_phi - b * slope_theta) / scale
        theta, phi, loss = _descend(theta, phi, step_theta, step_phi, loss, preference_N, length, weights_RN)
        if max(np.abs(step_theta).max(), np.abs(step_phi).max()) < _TOLERANCE:
            break
    return np.stack([theta, phi])


def _descend(
    theta: Floats, phi: Floats, step_theta: Floats, step_phi: Floats, loss: Floats, *rows: Floats
) -> tuple[Floats, Floats, Floats]:
    """Newton's step, halved for each weighting until its loss does not rise."""
    share = np.ones_like(theta)
    for _ in range(30):
        after = _loss(theta - share * step_theta, phi - share * step_phi, *rows)
        rises = after > loss + 1e-12 * np.abs(loss)
        if not rises.any():
            break
        share = np.where(rises, share / 2, share)
    return theta - share * step_theta, phi - share * step_phi, after


def _loss(theta: Floats, phi: Floats, preference_N: Floats, length_RN: Floats, weights_RN: Floats) -> Floats:
    score = theta[:, np.newaxis] + phi[:, np.newaxis] * length_RN
    rows = np.logaddexp(0.0, score) - preference_N * score
    total: Floats = (weights_RN * rows).sum(axis=1) + RIDGE / 2 * (theta**2 + phi**2)
    return total


def _deviation(difference_N: Floats, weights_RN: Floats) -> Floats:
    """The sample standard deviation under each weighting; infinite where it is 0, so that no length counts."""
    count = weights_RN.sum(axis=1)
    mean = weights_RN @ difference_N / count
    squares = (weights_RN * (difference_N - mean[:, np.newaxis]) ** 2).sum(axis=1)
    found = np.sqrt(squares / np.maximum(count - 1, 1))
    return np.where(found > 1e-12 * np.abs(difference_N).max(initial=1.0), found, np.inf)


def _note(preference: Floats, difference: Floats) -> str:
    if np.ptp(preference) == 0 and preference[0] in (0.0, 1.0):
        side = "model" if preference[0] else "baseline"
        return f"the judge prefers the {side} on every row, so no length effect can be told"
    if np.ptp(difference) == 0:
        if difference[0] == 0:
            return "all lengths are equal: this is the plain win rate"
        return "the lengths differ by the same on every row: this is the plain win rate, with length not controlled for"
    if _separates(preference, difference):
        return "the lengths alone separate the preferences: the fit is finite by the ridge only, and says little"
    return ""


def _separates(preference: Floats, difference: Floats) -> bool:
    """Whether some length difference has only wins on one side of it and only losses on the other."""
    wins, losses = difference[preference == 1.0], difference[preference == 0.0]
    if wins.size + losses.size < preference.size or not wins.size or not losses.size:
        return False
    return bool(wins.min() > losses.max() or losses.min() > wins.max())


def _checked(
    preference_N: Sequence[float], length_model_N: Sequence[float], length_baseline_N: Sequence[float]
) -> tuple[Floats, Floats]:
    preference, model, baseline = (
        np.asarray(values, dtype=np.float64) for values in (preference_N, length_model_N, length_baseline_N)
    )
    if not preference.shape == model.shape == baseline.shape or preference.ndim != 1:
        raise ValueError(
            f"preferences and lengths must be three equally long lists, not of {preference.shape}, {model.shape} "
            f"and {baseline.shape}"
        )
    if not ((preference >= 0) & (preference <= 1)).all():
        raise ValueError("a preference must be a number from 0 to 1")
    difference = model - baseline
    if not np.isfinite(difference).all():
        raise ValueError("lengths must be finite")
    return preference, difference


def _logistic(score: Floats) -> Floats:
    """1 / (1 + e^−x), without overflow."""
    chance: Floats = np.exp(-np.logaddexp(0.0, -score))
    return chance
