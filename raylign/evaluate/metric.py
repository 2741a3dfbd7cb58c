"""A suite's figure, row by row and for every model. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One figure of a suite, row by row, for every model."""

    name: str
    """For example `prompt_strict`."""
    values: Mapping[str, Mapping[str, float]]
    """Model -> row id -> value; a share is a mean of 0s and 1s."""
    higher_is_better: bool | None
    """None where neither is, as with the answers' length."""
    clusters: Mapping[str, str] | None = None
    """Row id -> what it shares a source with; None where each row stands for itself."""
