"""The suite `heldout`: how alignment moved the likelihood of the held-out pairs' answers (arXiv 2408.06266).

With r = β · (log π(y|x) − log π_base(y|x)), the reward of APO and DPO, a pair counts for `reward_accuracy` where the
chosen answer's reward is the higher one, and `reward_margin` is the difference between the two. The baseline is its own
reference: all its rewards are 0, so it stands at an accuracy of one half, by definition and not by measurement.
`logp_chosen` and `logp_rejected` are the log-probabilities themselves; their differences between the models are the
likelihood movement that the paper plots.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.errors import InputError
from raylign.evaluate.metric import Metric
from raylign.evaluate.suites.suite import PairLikelihood, SuiteResult
from raylign.pairs.store import pairs_folder
from raylign.parts import read_records
from raylign.records import Pair, content_id

_RULES = "1"


class Heldout:
    """The run's held-out pairs, each with two answers."""

    name = "heldout"

    def __init__(self, folder: Path, beta: float) -> None:
        self.folder, self.beta = folder, beta

    @classmethod
    def create(cls, config: LoopConfig, run: Path) -> "Heldout":
        """The suite over the run's pairs, or those of `train.pairs`, with the β that training had."""
        return cls(pairs_folder(config.train, run), config.train.beta)

    @cached_property
    def version(self) -> str:
        """Of the rules, β and the pairs."""
        return f"heldout@{content_id(_RULES, self.beta, sorted(pair.id for pair in self._pairs))[:12]}"

    def pairs(self) -> list[Pair]:
        """The held-out pairs, in order of their ids.

        Raises:
            InputError: there are none.
        """
        return self._pairs

    @cached_property
    def _pairs(self) -> list[Pair]:
        stored: list[Pair] = read_records(self.folder / "heldout", Pair)
        found = [pair for pair in stored if pair.chosen and pair.rejected]
        if not found:
            raise InputError(
                f"{self.folder}/heldout holds no pairs with two answers",
                "make pairs with a higher prompts.heldout_share, or leave the suite heldout out",
            )
        return sorted(found, key=lambda pair: pair.id)

    def score_pairs(
        self, likelihoods: Mapping[str, Mapping[str, PairLikelihood]], dropped: Mapping[str, int]
    ) -> SuiteResult:
        """Accuracy and margin of the rewards, and both log-probabilities."""
        baseline = next(iter(likelihoods.values()))
        margins = {
            model: {id_: self._margin(one, baseline[id_]) for id_, one in found.items()}
            for model, found in likelihoods.items()
        }
        accuracies = {
            model: {id_: 0.5 if margin == 0 else float(margin > 0) for id_, margin in found.items()}
            for model, found in margins.items()
        }
        metrics = [
            Metric("reward_accuracy", accuracies, True),
            Metric("reward_margin", margins, True),
            Metric("logp_chosen", _side(likelihoods, "chosen"), None),
            Metric("logp_rejected", _side(likelihoods, "rejected"), None),
        ]
        counts = {
            model: {name: count for name, count in {"ok": len(found), **dropped}.items() if count}
            for model, found in likelihoods.items()
        }
        rows = [
            {
                "model": model,
                "pair_id": id_,
                "logp_chosen": one.chosen,
                "logp_rejected": one.rejected,
                "chosen_tokens": one.chosen_tokens,
                "rejected_tokens": one.rejected_tokens,
                "reward_margin": margins[model][id_],
            }
            for model, found in likelihoods.items()
            for id_, one in found.items()
        ]
        return SuiteResult(metrics, counts, rows, {"beta": self.beta, "movement": self._movement(likelihoods)})

    def _margin(self, one: PairLikelihood, base: PairLikelihood) -> float:
        return self.beta * ((one.chosen - base.chosen) - (one.rejected - base.rejected))

    def _movement(self, likelihoods: Mapping[str, Mapping[str, PairLikelihood]]) -> dict[str, Any]:
        """Model -> side -> movement from the baseline in nats, sorted: what the report draws; at most 101 quantiles."""
        baseline, found = next(iter(likelihoods.values())), {}
        for model in list(likelihoods)[1:]:
            moved = {
                side: sorted(
                    getattr(one, side) - getattr(baseline[id_], side) for id_, one in likelihoods[model].items()
                )
                for side in ("chosen", "rejected")
            }
            found[model] = {side: _quantiles(values) for side, values in moved.items()}
        return found


def _side(likelihoods: Mapping[str, Mapping[str, PairLikelihood]], side: str) -> dict[str, dict[str, float]]:
    return {
        model: {id_: float(getattr(one, side)) for id_, one in found.items()} for model, found in likelihoods.items()
    }


def _quantiles(ordered: list[float]) -> list[float]:
    """The values themselves, or every hundredth part of them, lowest and highest included."""
    last = len(ordered) - 1
    steps = min(last, 100)
    return [round(ordered[round(last * step / steps)], 4) if steps else ordered[0] for step in range(steps + 1)]
