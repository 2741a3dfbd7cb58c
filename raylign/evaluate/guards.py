"""Signs of a collapsed model, so that one that got shorter by breaking cannot look good. Pure.

A guard is read against the same figure of the base model on the same prompts, not against a fixed bar.
"""

from collections.abc import Sequence


def empty_share(answers: Sequence[str]) -> float:
    """Share of answers with nothing in them but white space, 0 to 1; 0 for no answers."""
    return sum(not answer.strip() for answer in answers) / len(answers) if answers else 0.0


def repeated_4grams(answers: Sequence[str]) -> float:
    """Share of four-word runs that repeat an earlier one of the same answer, 0 to 1.

    1 − distinct / total, both counted inside each answer and summed over answers, so a long answer weighs as
    much as it says, and a phrase that two answers share is no repetition. (Welleck et al., arXiv 1908.04319,
    take the mean over answers instead; that lets one short loop weigh as much as a page.)
    Words are split at white space, case ignored. An answer of fewer than four words has none to repeat;
    with only such answers the share is 0.
    """
    distinct = total = 0
    for answer in answers:
        words = answer.lower().split()
        runs = [tuple(words[start : start + 4]) for start in range(len(words) - 3)]
        distinct += len(set(runs))
        total += len(runs)
    return 1.0 - distinct / total if total else 0.0


def ended_share(finish_reasons: Sequence[str]) -> float:
    """Share of answers that the model ended by itself, within its token limit, 0 to 1; 0 for no answers."""
    return sum(reason == "stop" for reason in finish_reasons) / len(finish_reasons) if finish_reasons else 0.0


def mean_token_logprob(logprob_sums: Sequence[float], token_counts: Sequence[int]) -> float | None:
    """Mean log-probability a token, in nats, over all tokens of all answers; None where there is no token.

    Args:
        logprob_sums: each answer's summed token log-probabilities.
        token_counts: each answer's number of scored tokens.
    """
    tokens = sum(token_counts)
    return sum(logprob_sums) / tokens if tokens else None
