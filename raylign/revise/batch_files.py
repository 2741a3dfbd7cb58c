"""What a run knows of its batches, on disk, so that a killed driver finds them again. This acts (files).

    revisions/batches.json             every batch: its ids at the provider, counts, status, cost; no secret
    revisions/batches/0001.jsonl       input file of an open batch
    revisions/batches/0001.unanswered  keys of the requests that an ended batch had no reply to: for the online stage

`batches.json` is written whole or not at all, and before each thing that must not be done twice.
"""

import json
import os
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

from raylign.errors import ConfigError
from raylign.revise.batch_plan import BatchRequest, Filling, read_keys
from raylign.run_folder import write_json

_SHOWN = 3
"""Batches named in a message."""


@dataclass
class Part:
    """One batch of a run, from its input file on."""

    number: int
    requests: int
    usd: float
    """What it cost; until it has ended, more than it can cost."""
    largest_usd: float
    """More than any one of its requests can cost."""
    written_at: float
    """When its input file was whole, in Unix seconds."""
    file_id: str = ""
    """The input file at the provider; empty before the upload."""
    batch_id: str = ""
    """Empty before it was submitted."""
    status: str = ""
    """What the provider last called its state."""
    ended: bool = False
    """Nothing more is to come of it: its results are in the journal."""


@dataclass
class BatchFiles:
    """The batches of the run whose revisions are in `folder`."""

    folder: Path
    job: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """Names the run to the provider."""
    parts: list[Part] = field(default_factory=list)

    @classmethod
    def load(cls, revisions_folder: Path) -> "BatchFiles":
        """What earlier starts left behind; empty where there is nothing."""
        path = revisions_folder / "batches.json"
        if not path.exists():
            return cls(revisions_folder)
        kept = json.loads(path.read_text(encoding="utf-8"))
        return cls(revisions_folder, kept["job"], [Part(**part) for part in kept["parts"]])

    def save(self) -> None:
        """Make what is known durable."""
        write_json(self.folder / "batches.json", {"job": self.job, "parts": [asdict(part) for part in self.parts]})

    def open(self) -> list[Part]:
        """The batches that have not ended."""
        return [part for part in self.parts if not part.ended]

    def usd(self) -> float:
        """What all of them cost, open ones at most."""
        return sum(part.usd for part in self.parts)

    def name(self, part: Part) -> str:
        """What the provider is told the batch is called."""
        return f"{self.job}-{part.number:04d}"

    def path(self, part: Part, suffix: str = "jsonl") -> Path:
        """A file of a batch."""
        return self.folder / "batches" / f"{part.number:04d}.{suffix}"

    def keys(self, part: Part) -> list[str]:
        """Keys of the requests that are no longer, or not yet again, to be submitted because of this batch.

        Those of an open batch are all it asks; of an ended one, those it had no reply to.
        """
        if not part.ended:
            with self.path(part).open("rb") as file:
                return list(read_keys(file))
        path = self.path(part, "unanswered")
        return path.read_text(encoding="ascii").split() if path.exists() else []

    def add(self, writer: "InputFile") -> Part:
        """Take a whole input file in as the next batch; from here on it survives a crash."""
        filling = writer.filling
        number = len(self.parts) + 1
        part = Part(number, filling.requests, filling.usd, filling.largest_usd, written_at=time.time())
        writer.path.replace(self.path(part))
        self.parts.append(part)
        self.save()
        return part

    def end(self, part: Part, usd: float, unanswered: list[str]) -> None:
        """A batch has ended: keep what it cost and which requests it left, and drop its input file."""
        if unanswered:
            hidden = self.path(part, "unanswered.tmp")
            hidden.write_text("\n".join(unanswered), encoding="ascii")
            hidden.replace(self.path(part, "unanswered"))
        part.usd, part.ended = usd, True
        self.save()
        self.clean()

    def clean(self) -> None:
        """Drop what ended batches, and a start that was killed, left lying about."""
        needed = {self.path(part) for part in self.open()}
        for path in (self.folder / "batches").glob("*"):
            if path.suffix != ".unanswered" and path not in needed:
                path.unlink()


def batches_usd(revisions_folder: Path) -> float:
    """What all batches of a run cost, open ones at most."""
    return BatchFiles.load(revisions_folder).usd()


def require_collected(mode: str, revisions_folder: Path) -> None:
    """Raise a ConfigError where calls would pay again for what batches that have not ended are to answer."""
    # A file that was never uploaded has no batch at the provider.
    open_ones = [part for part in BatchFiles.load(revisions_folder).open() if part.file_id]
    if mode == "batch" or not open_ones:
        return
    names = ", ".join(part.batch_id or f"of {part.file_id}" for part in open_ones[:_SHOWN])
    raise ConfigError(
        f"revise.mode is {mode!r} while batches with {sum(part.requests for part in open_ones)} requests of this run "
        f"are open ({names}{', …' if len(open_ones) > _SHOWN else ''}): calls would pay for them a second time",
        "set revise.mode=batch and run the same command to collect them; to wait no longer, cancel all of them at the "
        "provider first",
    )


class InputFile:
    """The input file of the next batch while it is being written."""

    def __init__(self, files: BatchFiles) -> None:
        self.path = files.folder / "batches" / "next.tmp"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("wb")
        self.filling = Filling()
        self.keys: set[str] = set()

    def add(self, request: BatchRequest) -> None:
        """Write a request's line."""
        self.file.write(request.line)
        self.filling.add(request)
        self.keys.add(request.key)

    def __enter__(self) -> "InputFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def finish(self) -> None:
        """Make it durable."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
