"""How much a text repeats itself: a sign of a model that loops, in training data and in evaluation alike. Pure."""

from collections.abc import Sequence


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
