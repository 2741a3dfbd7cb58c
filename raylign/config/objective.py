"""Reads a training objective, a weighted sum of named losses such as `apo_zero + 4·sft`; pure.

The losses themselves are in `raylign.train.objectives`; here stands only what a configuration may say of them.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from raylign.errors import ConfigError

PAIRED = ("apo_zero", "apo_down", "dpo", "ipo")
"""Losses that compare both answers of a pair."""
UNPAIRED = ("apo_zero_unpaired", "kto")
"""Losses that look at one answer at a time, desirable or undesirable; a pair is one of each."""
OBJECTIVES = (*PAIRED, *UNPAIRED, "sft")

_TERM = re.compile(r"(?:(?P<weight>\S+?)\s*[*·]\s*)?(?P<name>\w+)")


@dataclass(frozen=True)
class Term:
    """One loss of a sum, and its weight, which is more than 0."""

    name: str
    weight: float


def parse_objective(text: str) -> tuple[Term, ...]:
    """The terms of `name + weight·name + …` in the order they stand; `*` and `·` both multiply, a bare name weighs 1.

    Raises:
        ConfigError: no such sum, an unknown or repeated name, or a weight that is no finite number above 0.
    """
    # A weight such as 1e+2 holds a plus sign that adds nothing.
    terms = tuple(_term(part.strip(), text) for part in re.split(r"(?<!\de)\+", text, flags=re.IGNORECASE))
    names = [term.name for term in terms]
    if len(set(names)) < len(names):
        raise ConfigError(f"train.objective is {text!r}", "name each loss once, with one weight")
    return terms


def answers_needed(terms: Sequence[Term]) -> tuple[bool, bool]:
    """Whether a row without a chosen answer, and one without a rejected answer, is of no use to the objective."""
    names = {term.name for term in terms}
    if names & set(PAIRED):
        return True, True
    return not names & set(UNPAIRED), False


def objective_in_words(terms: Sequence[Term]) -> str:
    """The sum as a person writes it; parsing it gives the same terms."""
    return " + ".join(term.name if term.weight == 1 else f"{term.weight:.12g}·{term.name}" for term in terms)


def _term(part: str, text: str) -> Term:
    found = _TERM.fullmatch(part)
    if found is None:
        raise ConfigError(f"train.objective is {text!r}: {part!r} is no term of a sum", _allowed())
    name, written = found["name"], found["weight"]
    if name not in OBJECTIVES:
        raise ConfigError(f"train.objective is {text!r}: there is no loss {name!r}", _allowed())
    try:
        weight = 1.0 if written is None else float(written)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise ConfigError(
            f"train.objective is {text!r}: {written!r} weighs {name}",
            "a weight is a finite number more than 0; leave out what should not count",
        )
    return Term(name, weight)


def _allowed() -> str:
    return f"allowed: {', '.join(OBJECTIVES)}, and sums of them such as apo_zero + 4*sft"
