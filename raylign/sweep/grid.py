"""The grid of a sweep: what `--over key=a,b` means, and each point's name and overrides. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from raylign.errors import ConfigError
from raylign.records import content_id

_LONGEST_NAME = 120
_SECTION = "train."
_SAME_FOR_ALL = ("train.pairs", "train.reference_folder")
"""What points that are compared, and share a reference, have in common."""
_EXAMPLE = "write for example --over train.beta=0.1,0.3"


@dataclass(frozen=True)
class Point:
    """One training run of a sweep."""

    name: str
    """Of its folder; the same settings have the same name, whatever else the grid holds."""
    overrides: tuple[str, ...]
    """`key=value` each."""


def grid(over: Sequence[str]) -> list[Point]:
    """Every combination of the values of each `key=a,b,…`, the last key changing fastest.

    Raises:
        ConfigError: a key that a sweep does not vary, a key or value that comes twice, or a text of another form.
    """
    axes: dict[str, list[str]] = {}
    for text in over:
        key, values = _axis(text)
        if key in axes:
            raise ConfigError(f"--over names {key} twice", "name all its values at once: key=a,b")
        axes[key] = values
    combinations = product(*([f"{key}={value}" for value in values] for key, values in axes.items()))
    return [Point(_name(overrides), overrides) for overrides in combinations]


def _axis(text: str) -> tuple[str, list[str]]:
    key, _, listed = text.partition("=")
    key, values = key.strip(), [value.strip() for value in listed.split(",")]
    if not all(values):
        raise ConfigError(f"--over {text!r} is not of the form key=value,value", _EXAMPLE)
    if not key.startswith(_SECTION) or key in _SAME_FOR_ALL:
        raise ConfigError(
            f"--over {text!r} varies {key}",
            f"a sweep varies train.* except {' and '.join(_SAME_FOR_ALL)}, so that its points can be compared",
        )
    if len(set(values)) < len(values):
        raise ConfigError(f"--over {text!r} names a value twice", _EXAMPLE)
    return key, values


def _name(overrides: tuple[str, ...]) -> str:
    plain = ",".join(override.removeprefix(_SECTION) for override in overrides)
    safe = re.sub(r"[^\w.,=+-]+", "_", plain)[:_LONGEST_NAME]
    return safe if safe == plain else f"{safe}-{content_id(*overrides)[:8]}"
