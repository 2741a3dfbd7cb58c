"""Makes every reply durable before anything is made of it. This acts (files).

Replies are paid for, and what is read out of them may change; so they are kept as they came. A journal is a folder of
segments, each written by one process and only ever appended to:

    <writer>-<number>.jsonl    a reply a line: {"key", "at", and the fields of `Reply`}
    <writer>-<number>.idx      key and offset of its lines up to a certain byte, so that nobody has to read them again

A local folder takes appends, made durable by fsync; replies that come together share one. On any other filesystem
(`s3://…`) every flush is an object of its own, written whole: a reply there waits up to `OBJECT_SECONDS` with those
that came with it. In both, what a killed process may lose are replies that its rows still wait for: those that came
since the last flush began. A line that was cut short by a crash is no reply, and is passed over.
"""

import asyncio
import json
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from raylign.journal.files import JournalFiles
from raylign.journal.index import pack_index
from raylign.revise.replies import Reply

SEGMENT_BYTES = 64 * 2**20
OBJECT_SECONDS = 1.0


@dataclass(frozen=True)
class Entry:
    """A reply on its way into the journal."""

    key: str
    reply: Reply

    def line(self) -> bytes:
        """Its line."""
        row = {"key": self.key, "at": round(time.time(), 3), **vars(self.reply)}
        return json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


class _Segments(Protocol):
    def add(self, entries: Sequence[Entry]) -> None: ...
    def close(self) -> None: ...


@dataclass
class _LocalSegments:
    """Appends to one file until it is full."""

    files: JournalFiles
    name: str
    number: int = 0
    file: IO[bytes] | None = None
    keys: list[tuple[str, int]] = field(default_factory=list)

    def add(self, entries: Sequence[Entry]) -> None:
        if self.file is None:
            self.file = Path(self.files.path(f"{self.name}-{self.number}.jsonl")).open("ab")  # noqa: SIM115
        offset, lines = self.file.tell(), []
        for entry in entries:
            self.keys.append((entry.key, offset))
            lines.append(entry.line())
            offset += len(lines[-1])
        self.file.write(b"".join(lines))
        self.file.flush()
        os.fsync(self.file.fileno())
        if offset >= SEGMENT_BYTES:
            self.close()

    def close(self) -> None:
        if self.file is None:
            return
        end = self.file.tell()
        self.file.close()
        self.files.write(f"{self.name}-{self.number}.idx", pack_index(self.keys, end))
        self.file, self.keys, self.number = None, [], self.number + 1


@dataclass
class _ObjectSegments:
    """Writes an object a flush."""

    files: JournalFiles
    name: str
    number: int = 0

    def add(self, entries: Sequence[Entry]) -> None:
        self.files.write(f"{self.name}-{self.number}.jsonl", b"".join(entry.line() for entry in entries))
        self.number += 1

    def close(self) -> None:
        """Nothing is open."""


class JournalWriter:
    """One process's own segments. `add` returns when the reply is durable; many that wait together share a flush."""

    def __init__(self, files: JournalFiles) -> None:
        name = uuid.uuid4().hex[:12]
        self.segments: _Segments = _LocalSegments(files, name) if files.local else _ObjectSegments(files, name)
        self.gather_seconds = 0.0 if files.local else OBJECT_SECONDS
        self.waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self.task: asyncio.Task[None] | None = None

    async def add(self, entry: Entry) -> None:
        """Keep a reply; after that it survives any crash.

        Raises:
            OSError: the filesystem refused it.
        """
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((entry, durable))
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._flush())
        await durable

    def add_all(self, entries: Sequence[Entry]) -> None:
        """Keep many replies by one flush, outside of any event loop; durable on return.

        Raises:
            OSError: the filesystem refused them.
        """
        if entries:
            self.segments.add(entries)

    async def _flush(self) -> None:
        while self.waiting:
            await asyncio.sleep(self.gather_seconds)
            batch, self.waiting = self.waiting, []
            try:
                await asyncio.to_thread(self.segments.add, [entry for entry, _ in batch])
            except Exception as error:
                for _, durable in batch:
                    durable.set_exception(error)
                continue
            for _, durable in batch:
                durable.set_result(None)

    def close(self) -> None:
        """Leave an index behind; a journal whose writer was killed lacks only that."""
        self.segments.close()
