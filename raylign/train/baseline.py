"""The KL baseline of KTO: which answers it is measured on, and its value; pure.

KTO weighs an answer against z_0 = KL(π_θ ‖ π_ref) and estimates it from prompts with answers to other prompts, which
cost no sampling: z_ref = max(0, mean of log π_θ(y'|x) − log π_ref(y'|x)) (arXiv 2402.01306, section 4.1). It is no part
of the gradient, yet every answer's loss depends on it: a step first scores its global batch's mismatched answers with a
forward pass of their own. `apo_zero_unpaired` is the same loss with the baseline at 0, and needs no such pass.

Departure from the paper and TRL, which pair a prompt with its neighbour's answer in each micro-batch: the neighbour is
the one in the data set, and the mean is over the global batch. So the reference's part is computed once, as for the
other answers, and any split into micro-batches and workers has the same baseline.
"""

import math
from collections.abc import Mapping, Sequence

from raylign.errors import InputError
from raylign.train.tokens import TokenPair


def mismatched(pairs: Sequence[TokenPair]) -> list[TokenPair]:
    """Each pair's prompt with the answers of the nearest pair before it, going round, that has another prompt.

    Answers are cut where prompt and answer would together be longer than the longest that `pairs` have.

    Raises:
        InputError: all pairs have the same prompt.
    """
    longest = max((pair.length for pair in pairs), default=0)
    found = []
    for at, pair in enumerate(pairs):
        others = (pairs[at - back] for back in range(1, len(pairs)))
        other = next((one for one in others if one.prompt_ids != pair.prompt_ids), None)
        if other is None:
            raise InputError(
                f"train.objective has kto and all {len(pairs)} pairs have the same prompt",
                "its KL baseline needs answers to other prompts: add pairs, or take apo_zero_unpaired, which has none",
            )
        room = longest - len(pair.prompt_ids)
        found.append(
            TokenPair(f"{pair.id} mismatched", pair.prompt_ids, other.chosen_ids[:room], other.rejected_ids[:room])
        )
    return found


def z_ref(
    pairs: Sequence[TokenPair],
    policy: Mapping[str, tuple[float, float]],
    reference: Mapping[str, tuple[float, float]],
) -> float:
    """The baseline in nats, from log-probabilities (chosen, rejected) of mismatched pairs by id; at least 0.

    NaN where it is not finite, which no loss survives: a run must not go on as if it were 0.
    """
    ratios = [
        policy[pair.id][side] - reference[pair.id][side]
        for pair in pairs
        for side, answer in enumerate((pair.chosen_ids, pair.rejected_ids))
        if answer
    ]
    mean = sum(ratios) / len(ratios) if ratios else 0.0
    return max(0.0, mean) if math.isfinite(mean) else math.nan
