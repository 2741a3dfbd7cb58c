"""Are folders, the journal, models and the Ray cluster where the configuration says? This acts (files, sockets)."""

import json
import os
import socket
import uuid
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from raylign.errors import InputError, ModelError, PlanError
from raylign.model import BUNDLED, check_bundled, resolve_model

_CONNECT_SECONDS = 5.0
_JINJA = "chat_template.jinja"


def check_writable(folder: Path, field: str, cure: str) -> None:
    """Raise an InputError where the folder cannot be made or written; makes nothing itself."""
    there = folder.absolute()
    while there != there.parent and not _exists(there):
        there = there.parent
    if not there.is_dir():
        raise InputError(f"{field} {folder} cannot be written: {there} is not a folder", cure)
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{field} {folder} cannot be written: {there} is not yours to write", cure)


def check_journal(location: str, field: str = "revise.journal") -> None:
    """Raise an InputError where replies cannot be kept there. A remote place is tried with an object of a few bytes."""
    if "://" not in location:
        check_writable(Path(location).expanduser(), field, "name a folder that you may write to")
        return
    from raylign.journal.files import JournalFiles

    files, name = JournalFiles(location), f"probe-{uuid.uuid4().hex[:8]}"
    try:
        files.write(name, b"raylign was here to see whether it may write\n")
        files.system.delete_file(files.path(name))
    except OSError as error:
        raise InputError(
            f"{field} {location} cannot be written: {' '.join(str(error).split())}",
            "name a place that your credentials may write to and delete from",
        ) from error


def check_model(name: str, field: str, trust_remote_code: bool) -> None:
    """Raise a ModelError where the model is missing, damaged or without chat template, as far as this machine can tell.

    A hub id that was never downloaded is left to the stage. Nothing is loaded, unpacked or downloaded.
    """
    if name == BUNDLED:
        check_bundled()
        return
    found = resolve_model(name)
    folder = Path(found)
    if folder.is_absolute():
        _check_weights(folder, field)
    template = _has_chat_template(folder, trust_remote_code) if folder.is_absolute() else _hub_has_template(name)
    if not template:
        raise ModelError(
            f"{field} is {name}, which has no chat template",
            f"use an instruct model, or add a {_JINJA} to its folder",
        )


def _check_weights(folder: Path, field: str) -> None:
    """Raise a ModelError where a file of weights is not as long as its own header says: a copy or a write that broke
    off. Only headers are read."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{field} is {folder}, whose {path.name} is cut off or damaged: {' '.join(str(error).split())}",
                "copy or export the model again",
            ) from error


def same_model(name: str) -> str:
    """What all names of one model's folder have in common; a name that is no folder here stands for itself."""
    path = Path(name).expanduser()
    return str(path.resolve()) if _exists(path) else name


def check_cluster(address: str) -> None:
    """Raise a PlanError where nothing listens at a Ray address of the form host:port or ray://host:port."""
    scheme, _, rest = address.rpartition("://")
    host, _, port = rest.rpartition(":")
    if scheme not in ("", "ray") or not host or not port.isdecimal():
        return  # auto, local and other forms are Ray's to resolve
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise PlanError(
            f"no Ray cluster answers at {address} ({error})", "start one, or unset cluster.address and RAY_ADDRESS"
        ) from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a part of the path may not be entered
        return False


def _has_chat_template(folder: Path, trust_remote_code: bool) -> bool:
    """Whether transformers would find a template in a model folder, in any of the places it looks."""
    tokenizer = _read_json(folder / "tokenizer_config.json")
    return (
        (folder / _JINJA).is_file()
        or any(folder.glob("additional_chat_templates/*.jinja"))
        or bool(tokenizer.get("chat_template"))
        or bool(_read_json(folder / "chat_template.json").get("chat_template"))
        or (folder / "tekken.json").is_file()  # Mistral's own tokenizer brings its template along
        or (trust_remote_code and "auto_map" in tokenizer)  # the model's own code may set one
    )


def _hub_has_template(name: str) -> bool:
    """False only where the cache knows that the hub has none: a file that is merely not cached may well be there."""
    from huggingface_hub import try_to_load_from_cache

    try:
        tokenizer, jinja = (try_to_load_from_cache(name, file) for file in ("tokenizer_config.json", _JINJA))
    except ValueError:
        return True  # no name that the hub takes: the stage tells
    if not isinstance(tokenizer, str) or jinja is None or isinstance(jinja, str):
        return True
    return bool(_read_json(Path(tokenizer)).get("chat_template"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
