"""Load a configuration: defaults, then a YAML file, then `key=value` overrides; every mistake is one clear error."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from raylign.config.checks import check
from raylign.config.schema import LoopConfig
from raylign.errors import ConfigError, InputError


class _NumberLoader(yaml.SafeLoader):
    """YAML as a person types it: 2e-7 and 1e5 are numbers too, which YAML 1.1 reads as text."""


_NumberLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d[\d_]*(\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load_config(path: Path | None = None, overrides: list[str] | None = None) -> LoopConfig:
    """The run's configuration, checked.

    Raises:
        InputError: the file is missing or is not YAML.
        ConfigError: an unknown key, a wrong type or value, or a combination that cannot work.
    """
    config = OmegaConf.structured(LoopConfig)
    if path is not None:
        config = _merge(config, _read_yaml(path), str(path))
    for override in overrides or []:
        config = _merge(config, _parse_override(override), "the command line")
    try:
        loaded = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise ConfigError(_first_line(error)) from error
    assert isinstance(loaded, LoopConfig)
    check(loaded)
    return loaded


def to_yaml(config: LoopConfig) -> str:
    """The resolved configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def difference(old_yaml: str, new_yaml: str) -> list[str]:
    """What differs between two resolved configurations, a line a key: `train.beta: 0.1 there, 0.2 here`.

    Keys that only say how work is done (limits, pools, timeouts) are left out: they may change between starts.
    """
    old = dict(_flatten(yaml.safe_load(old_yaml) or {}))
    new = dict(_flatten(yaml.safe_load(new_yaml) or {}))
    missing, operation = "(not set)", set(_operation_keys())
    return [
        f"{key}: {old.get(key, missing)} there, {new.get(key, missing)} here"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, missing) != new.get(key, missing) and _longest_known(key, operation) == ""
    ]


def training_difference(old_yaml: str, new_yaml: str) -> list[str]:
    """The lines of `difference` that bear on training but for its pairs, which are known by what they are."""
    lines = difference(old_yaml, new_yaml)
    return [line for line in lines if line.startswith(("seed:", "train.")) and not line.startswith("train.pairs:")]


def known_keys(section: type = LoopConfig, prefix: str = "") -> Iterator[str]:
    """Every key a configuration may set, with its dots."""
    for item in fields(section):
        yield prefix + item.name
        if isinstance(item.type, type) and is_dataclass(item.type):
            yield from known_keys(item.type, f"{prefix}{item.name}.")


def _operation_keys(section: type = LoopConfig, prefix: str = "") -> Iterator[str]:
    for item in fields(section):
        if isinstance(item.type, type) and is_dataclass(item.type):
            yield from _operation_keys(item.type, f"{prefix}{item.name}.")
        elif item.metadata.get("operation"):
            yield prefix + item.name


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise InputError(
            f"--config {path} cannot be read: {reason}", "name a YAML file, such as those in jobs/conf/"
        ) from error
    try:
        value = yaml.load(text, Loader=_NumberLoader)
    except yaml.YAMLError as error:
        raise InputError(f"--config {path} is not YAML: {' '.join(str(error).split())}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(
            f"--config {path} holds a {type(value).__name__}", "it must hold keys, as jobs/conf/smollm2_cpu.yaml does"
        )
    return value


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r} is not of the form key=value", "write for example train.beta=0.2")
    try:
        value = yaml.load(text, Loader=_NumberLoader) if text else ""
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r}: the value is not YAML: {' '.join(str(error).split())}") from error
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    assert isinstance(nested, dict)
    return nested


def _merge(config: DictConfig, values: dict[str, Any], source: str) -> DictConfig:
    known = set(known_keys())
    free = {"sample.engine", "serve.engine", "promote.guards"}
    for key, value in _flatten(values):
        section = _longest_known(key, known)
        if section != key and section not in free:
            raise ConfigError(f"unknown key {key!r} in {source}", _nearest(key, known))
        if _is_section(key) and not isinstance(value, dict):
            raise ConfigError(
                f"{key} is {value!r} in {source}",
                f"it is a section: set one of its keys, e.g. {key}.{_first_key(key)}=…",
            )
    try:
        merged = OmegaConf.merge(config, OmegaConf.create(values))
    except ConfigKeyError as error:
        raise ConfigError(
            f"unknown key {error.full_key!r} in {source}", _nearest(str(error.full_key), known)
        ) from error
    except OmegaConfBaseException as error:
        key = str(error.full_key or "")
        received = dict(_flatten(values)).get(key, _first_line(error))
        raise ConfigError(f"{key or source} is {received!r} in {source}", _expected_type(key)) from error
    assert isinstance(merged, DictConfig)
    return merged


def _flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _longest_known(key: str, known: set[str]) -> str:
    parts = key.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in known:
            return ".".join(parts[:end])
    return ""


def _nearest(key: str, known: set[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if not close:  # the right name in the wrong section
        close = [name for name in sorted(known) if name.rpartition(".")[2] == key.rpartition(".")[2]][:1]
    return (
        f"did you mean {close[0]!r}?"
        if close
        else f"the sections are {', '.join(item.name for item in fields(LoopConfig))}"
    )


def _field_of(key: str) -> Any:
    section: Any = LoopConfig
    found = None
    for part in key.split("."):
        found = next((item for item in fields(section) if item.name == part), None) if is_dataclass(section) else None
        if found is None:
            return None
        section = found.type
    return found


def _is_section(key: str) -> bool:
    found = _field_of(key)
    return found is not None and is_dataclass(found.type)


def _first_key(key: str) -> str:
    return str(fields(_field_of(key).type)[0].name)


def _expected_type(key: str) -> str:
    found = _field_of(key)
    if found is None:
        return ""
    kind = (
        found.type.__name__ if isinstance(found.type, type) and not hasattr(found.type, "__args__") else str(found.type)
    )
    return f"it takes {kind}"


def _first_line(error: OmegaConfBaseException) -> str:
    return str(error).splitlines()[0]
