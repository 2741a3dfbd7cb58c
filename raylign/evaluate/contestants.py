"""Which models an evaluation compares, and by what their answers are told apart. This acts (reads the checkpoint)."""

import hashlib
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from raylign.config import LoopConfig
from raylign.errors import InputError
from raylign.evaluate.rows import SIDES, Contestant

BASE, ALIGNED = SIDES


def sides(config: LoopConfig, run: Path) -> list[Contestant]:
    """The run's base and aligned model.

    Raises:
        InputError: the run has no checkpoint.
    """
    return [Contestant(BASE, config.model), Contestant(ALIGNED, weights_digest(checkpoint_of(run)))]


def contestants(config: LoopConfig, run: Path) -> list[Contestant]:
    """The models that suites compare, the baseline first.

    Raises:
        InputError: the run has no checkpoint, where its aligned model is compared.
    """
    evaluate = config.evaluate
    return [named(name, config, run) for name in evaluate.models] if evaluate.models else sides(config, run)


def named(name: str, config: LoopConfig, run: Path) -> Contestant:
    """The model of this name at the evaluated endpoint: one of the run's, or else told by name and endpoint."""
    if name == BASE:
        return Contestant(name, config.model)
    if name == ALIGNED and (config.evaluate.base_url is None or has_checkpoint(run)):
        return Contestant(name, weights_digest(checkpoint_of(run)))
    return Contestant(name, f"{name} at {_place(config.evaluate.base_url or '')}")


def checkpoint_of(run: Path) -> Path:
    """The folder of the run's aligned model.

    Raises:
        InputError: there is none.
    """
    if not has_checkpoint(run):
        raise InputError(f"{run} has no trained checkpoint", "run the train stage in this folder first")
    return run / "checkpoint"


def has_checkpoint(run: Path) -> bool:
    """Whether the run has an aligned model."""
    return (run / "checkpoint" / "config.json").is_file()


def weights_digest(checkpoint: Path) -> str:
    """A checksum of the weights: answers of an earlier checkpoint in the same folder are never taken for this one's."""
    paths = sorted(checkpoint.glob("*.safetensors"))
    return _digest(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths))


@lru_cache(maxsize=8)
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Of these files' content; large ones take a while, so it is made once as long as size and time stay the same."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()[:32]}"


def _place(base_url: str) -> str:
    """The endpoint's address without what may be a credential in it."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"
