"""From what a person names (run folders, models, adapters) to what an endpoint serves. This acts (reads folders)."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.errors import ConfigError, InputError, ModelError
from raylign.model import BUNDLED, BUNDLED_HUB_ID, is_bundled, resolve_model
from raylign.serve.catalogue import Adapter, Catalogue

ADAPTER_FILE = "adapter_config.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXPORT_MERGED = "export the adapter merged into its model (train.export=merged), or serve a whole model"


def named_models(runs: Sequence[tuple[Path, LoopConfig]], extra: Sequence[str]) -> dict[str, str]:
    """Served names and where they come from, of run folders and of `name=source` arguments.

    One run gives `base` and `aligned`. Of several, each aligned model is `aligned-FOLDER`; the base model is `base`
    where all runs have the same, otherwise `base-FOLDER` each.

    Raises:
        InputError: a run has no checkpoint.
        ConfigError: a name stands twice or cannot be one, an argument has another form, or there is none.
    """
    several = len(runs) > 1
    bases = {config.model for _, config in runs}
    named: list[tuple[str, str]] = []
    for path, config in runs:
        suffix = f"-{path.resolve().name}" if several else ""
        base = ("base" + suffix if len(bases) > 1 else "base", config.model)
        if base not in named:
            named.append(base)
        named.append((f"aligned{suffix}", str(checkpoint_of(path).resolve())))
    for argument in extra:
        name, equals, source = argument.partition("=")
        if not equals or not source:
            raise ConfigError(f"--model {argument!r} is not of the form NAME=SOURCE", "e.g. tuned=runs/mine/checkpoint")
        named.append((name, source))
    for name, _ in named:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot be a served name", "use letters, digits, dots, dashes and underscores")
        if sum(other == name for other, _ in named) > 1:
            raise ConfigError(f"the name {name!r} stands for two models", "give each a name of its own")
    if not named:
        raise ConfigError("there is no model to serve", "name a run with --from, or a model with --model NAME=SOURCE")
    return dict(named)


def checkpoint_of(run: Path) -> Path:
    """The checkpoint of a run: a whole model, or an adapter.

    Raises:
        InputError: there is none.
    """
    checkpoint = run / "checkpoint"
    if not any((checkpoint / name).is_file() for name in ("config.json", ADAPTER_FILE)):
        raise InputError(f"{run} has no trained checkpoint", "run the train stage in this folder first")
    return checkpoint


def is_adapter(source: str) -> bool:
    """Whether this is a folder with an adapter and no model."""
    folder = Path(source).expanduser()
    return (folder / ADAPTER_FILE).is_file() and not (folder / "config.json").is_file()


def read_catalogue(named: Mapping[str, str]) -> Catalogue:
    """The catalogue of names and sources (a folder, a hub id or `bundled`; a folder with an adapter).

    Raises:
        ModelError: a folder is no model, or an adapter's own model is not among those served.
    """
    models = {name: resolve_model(source) for name, source in named.items() if not is_adapter(source)}
    adapters = [_adapter(name, source, models) for name, source in named.items() if is_adapter(source)]
    return Catalogue(models, tuple(adapters))


def _adapter(name: str, source: str, models: Mapping[str, str]) -> Adapter:
    folder = Path(source).expanduser().resolve()
    try:
        settings: dict[str, Any] = json.loads((folder / ADAPTER_FILE).read_text(encoding="utf-8"))
        base, rank = str(settings["base_model_name_or_path"]), int(settings["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / ADAPTER_FILE} cannot be read: {error!r}", _EXPORT_MERGED) from error
    on_bundled = base == BUNDLED_HUB_ID  # as its export names it
    found = [one for one, place in models.items() if place == _place(base) or (on_bundled and is_bundled(place))]
    if not found:
        raise ModelError(
            f"model {name!r} is an adapter on {base}, and that is not served beside it",
            f"serve it too: --model NAME={BUNDLED if on_bundled else base}",
        )
    return Adapter(name, str(folder), found[0], rank)


def _place(name: str) -> str:
    """The resolved form of a model's name, where it has one."""
    path = Path(name).expanduser()
    return resolve_model(name) if name == BUNDLED else str(path.resolve()) if path.is_dir() else name


def content_marks(catalogue: Catalogue) -> dict[str, str]:
    """The mark of each served name's files."""
    places = catalogue.models | {adapter.name: adapter.folder for adapter in catalogue.adapters}
    return {name: content_mark(place) for name, place in places.items()}


def content_mark(source: str) -> str:
    """What tells that a folder's files were replaced: their names, sizes and times; of a hub id, the id itself."""
    folder = Path(source)
    digest = hashlib.sha256(source.encode())
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_file():
                found = path.stat()
                digest.update(f"{path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()
