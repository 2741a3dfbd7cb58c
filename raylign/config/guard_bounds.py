"""What a promotion's guards allow: a worst fall, or a band for the difference. Pure.

`promote.guards` maps `SUITE.METRIC` to one of two bounds on the difference model − baseline, in the metric's own unit:

- a number: the worst fall that is allowed, 0 or more. Where lower is better, the worst rise.
- a pair [lowest, highest], null for an open end: a band. The only form where neither side is better, as of a length.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raylign.errors import ConfigError

_FORMS = "write the worst fall as a number from 0, or a band [lowest, highest] for the difference, null for an open end"


@dataclass(frozen=True)
class Bound:
    """Where a difference may lie, its ends included."""

    low: float = -math.inf
    high: float = math.inf

    def holds(self, value: float, strict: bool = False) -> bool:
        """Whether a value lies in it; `strict` leaves the ends out."""
        return self.low < value < self.high if strict else self.low <= value <= self.high

    def worst(self, low: float, high: float) -> float:
        """The end of an interval that lies further out, or less far in."""
        return low if low - self.low < self.high - high else high

    def words(self, strict: bool = False) -> str:
        """For a person."""
        if self.low > -math.inf and self.high < math.inf:
            return f"from {self.low:+g} to {self.high:+g}"
        if self.low > -math.inf:
            return f"{'above' if strict else 'at least'} {self.low:+g}"
        return f"{'below' if strict else 'at most'} {self.high:+g}"


@dataclass(frozen=True)
class GuardBound:
    """A guard as it was configured; which bound that is depends on the metric's better side."""

    fall: float | None = None
    band: Bound | None = None

    def of(self, name: str, higher_is_better: bool | None) -> Bound:
        """The bound on the difference.

        Raises:
            ConfigError: a worst fall is given for a metric without a better side.
        """
        if self.band is not None:
            return self.band
        assert self.fall is not None
        if higher_is_better is None:
            raise ConfigError(
                f"promote.guards allows {name} a fall of {self.fall:g}, and neither more nor less of it is better",
                "give it a band [lowest, highest] for the difference, null for an open end",
            )
        return Bound(low=-self.fall) if higher_is_better else Bound(high=self.fall)


def guard_bounds(guards: Mapping[str, Any]) -> dict[str, GuardBound]:
    """Metric to bound. Nested sections are taken as dotted names, as the command line writes them.

    Raises:
        ConfigError: a bound is none of the two forms.
    """
    return {name: _parse(name, value) for name, value in _flat(guards)}


def _flat(guards: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in guards.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _parse(name: str, value: Any) -> GuardBound:
    if "." not in name:
        raise ConfigError(f"promote.guards names {name!r}", "name a metric as SUITE.METRIC, e.g. ifeval.prompt_strict")
    if _is_number(value):
        if value < 0:
            raise ConfigError(f"promote.guards.{name} is {value}", _FORMS)
        return GuardBound(fall=float(value))
    if isinstance(value, list | tuple) and len(value) == 2 and all(end is None or _is_number(end) for end in value):
        low, high = (float(end) if end is not None else None for end in value)
        band = Bound(-math.inf if low is None else low, math.inf if high is None else high)
        if band.low <= band.high and (low is not None or high is not None):
            return GuardBound(band=band)
    raise ConfigError(f"promote.guards.{name} is {value!r}", _FORMS)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
