"""What a folder says of the endpoint that runs: `serve.json`, for `serve status`, `serve upgrade` and `promote`. This
acts (files). It holds names and paths; a key never."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from raylign.config import ServeConfig
from raylign.errors import InputError, RunFolderError
from raylign.run_folder import write_json

FILE = "serve.json"


@dataclass(frozen=True)
class Record:
    """An endpoint that runs, and all that is needed to describe its application once more."""

    address: str
    """Of the Ray cluster, host:port."""
    access: str | None
    """$RAY_AUTH_MODE of that cluster; where it is `token`, Ray finds the token itself."""
    url: str
    """Base URL for clients, which ends in /v1."""
    models: dict[str, str]
    """Served name to folder or hub id; adapters too."""
    marks: dict[str, str]
    """Served name to what its files looked like when they were loaded."""
    serve: dict[str, Any]
    """The `serve` section."""
    trust_remote_code: bool
    cores: int
    """Processor cores that CPU replicas share."""
    started: str

    @property
    def config(self) -> ServeConfig:
        """The section as the rest of raylign takes it."""
        return ServeConfig(**self.serve)


def write_record(folder: Path, record: Record) -> None:
    """Write it whole, for its owner's eyes."""
    write_json(folder / FILE, asdict(record), mode=0o600)


def read_record(folder: Path) -> Record:
    """The record of a folder.

    Raises:
        InputError: there is none, or another version of raylign wrote it.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(
            f"{folder} has no {FILE}", "name the folder of a `raylign serve` that runs: its first --from, or its --out"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Record(**{field.name: found[field.name] for field in fields(Record)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error!r}", "start `raylign serve` again") from error


def remove_record(folder: Path) -> None:
    """Say that nothing runs any more."""
    (folder / FILE).unlink(missing_ok=True)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the folder for an upgrade.

    Raises:
        RunFolderError: another one is under way.
    """
    with (folder / ".serve.lock").open("a") as lock:
        os.fchmod(lock.fileno(), 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(f"another upgrade of {folder} is under way", "wait for it") from error
        yield
