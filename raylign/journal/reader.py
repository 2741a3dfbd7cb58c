"""What a process knows of a journal: a sorted index, and what came in since, from any writer. This acts (files)."""

import json
import time
from collections.abc import Sequence

from raylign.journal.files import JournalFiles
from raylign.journal.index import OFFSET_BITS, Index, index_of, load_index, scan
from raylign.revise.replies import Reply

_TAIL = 50_000
"""Replies found since the arrays were last sorted, kept in a dictionary."""
_LINE_BYTES = 2**16
_LISTING_SECONDS = 30.0
"""A remote folder is listed at most this often."""


class Journal:
    """Finds replies by key; `refresh` takes in what was added since."""

    def __init__(self, files: JournalFiles, index: Index | None = None) -> None:
        self.files = files
        self.index = index if index is not None else load_index(files)
        self.later: list[Index] = []
        self.tail: dict[str, tuple[str, int]] = {}
        self.read = dict(self.index.read)
        self.listed_at = float("-inf")

    def refresh(self) -> None:
        """Take in what other writers have added since."""
        if not self.files.local and time.monotonic() - self.listed_at < _LISTING_SECONDS:
            return
        self.listed_at = time.monotonic()
        for name, size in self.files.sizes().items():
            if name.endswith(".jsonl") and size > self.read.get(name, 0):
                found, self.read[name] = scan(self.files, name, self.read.get(name, 0))
                self.tail.update((key, (name, offset)) for key, offset in found)
        if len(self.tail) > _TAIL:
            self.later.append(index_of(self.tail))
            self.tail = {}

    def replies(self, keys: Sequence[str]) -> list[Reply | None]:
        """The reply kept under each key, or None."""
        return [self._reply(*place) if place else None for place in self._places(keys)]

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """Whether a reply is kept under each key; no file is read for it."""
        return [place is not None for place in self._places(keys)]

    def _places(self, keys: Sequence[str]) -> list[tuple[str, int] | None]:
        """Segment and offset of each key's line, or None."""
        places: list[tuple[str, int] | None] = [self.tail.get(key) for key in keys]
        for index in (self.index, *self.later):
            missing = [number for number, place in enumerate(places) if place is None]
            found = index.find([keys[number] for number in missing])
            for number, at in zip(missing, found.tolist(), strict=True):
                if at >= 0:
                    segment, offset = divmod(int(index.place[at]), 1 << OFFSET_BITS)
                    places[number] = (index.segments[segment], offset)
        return places

    def _reply(self, name: str, offset: int) -> Reply | None:
        line = b""
        while b"\n" not in line:
            line += self.files.read(name, offset + len(line), _LINE_BYTES)
        try:
            row = json.loads(line[: line.index(b"\n")])
            del row["key"], row["at"]
            return Reply(**row)
        except (ValueError, KeyError, TypeError):
            return None  # a damaged line is no reply: it is asked for again
