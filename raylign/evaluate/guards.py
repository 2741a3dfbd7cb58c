"""Signs of a collapsed model, so that one that got shorter by breaking cannot look good. Pure.

A guard is read against the same figure of the base model on the same prompts, not against a fixed bar.
"""

from collections.abc import Sequence


def empty_share(answers: Sequence[str]) -> float:
    """Share of answers with nothing in them but white space, 0 to 1; 0 for no answers."""
    return sum(not answer.strip() for answer in answers) / len(answers) if answers else 0.0


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
