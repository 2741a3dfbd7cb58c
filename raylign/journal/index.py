"""Which replies a journal holds and where: keys in sorted arrays, 24 bytes a reply. This acts (reads files)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from raylign.ids import Words, find, to_words
from raylign.journal.files import JournalFiles

OFFSET_BITS = 40
_KEY = re.compile(rb'^\{"key":"([0-9a-f]{32})",', re.MULTILINE)
_RECORD = 24
"""Bytes an index entry takes: sixteen of the key, eight of the offset."""


@dataclass(frozen=True)
class Index:
    """Keys of a journal in sorted arrays, and where their lines are. Travels through Ray's object store uncopied."""

    high: Words
    low: Words
    place: Words
    """Segment number and offset, packed into one word."""
    segments: tuple[str, ...] = ()
    """Names of the segments by number."""
    read: dict[str, int] = field(default_factory=dict)
    """Bytes of each segment that the index covers."""

    def find(self, keys: Sequence[str]) -> npt.NDArray[np.intp]:
        """Where each key stands, [N]; −1 where it does not."""
        return find(self.high, self.low, *to_words(keys))


def load_index(files: JournalFiles) -> Index:
    """The index of a whole journal; segments that have no index of their own are read, and given one."""
    sizes = files.sizes()
    names = sorted(name for name in sizes if name.endswith(".jsonl"))
    packed, read = [], {}
    for name in names:
        entries, covered = _sealed(files, name, sizes)
        if covered < sizes[name]:
            more, covered = scan(files, name, covered)
            if more:
                entries += _pack(more)
                files.write(_index_name(name), _head(covered) + entries)
        packed.append(entries)
        read[name] = covered
    return _sort(packed, names, read)


def _sort(packed: list[bytes], names: list[str], read: dict[str, int]) -> Index:
    """One index of all segments' entries; columns are made and sorted one after another to keep the peak low."""
    total = sum(len(entries) for entries in packed) // _RECORD
    high, low, place = (np.empty(total, np.uint64) for _ in range(3))
    start = 0
    for number, entries in enumerate(packed):
        rows = np.frombuffer(entries, dtype=">u8").reshape(-1, 3)
        stop = start + len(rows)
        high[start:stop], low[start:stop] = rows[:, 0], rows[:, 1]
        place[start:stop] = rows[:, 2].astype(np.uint64) | np.uint64(number << OFFSET_BITS)
        packed[number] = b""
        start = stop
    order = np.argsort(high, kind="stable")
    return Index(high[order], low[order], place[order], tuple(names), read)


def _index_name(name: str) -> str:
    return name.removesuffix(".jsonl") + ".idx"


def _sealed(files: JournalFiles, name: str, sizes: dict[str, int]) -> tuple[bytes, int]:
    """Packed entries of a segment's own index, and how many bytes of the segment they cover."""
    if sizes.get(_index_name(name), 0) < _RECORD:
        return b"", 0
    content = files.read(_index_name(name))
    covered = int.from_bytes(content[16:24], "big")
    return (content[_RECORD:], covered) if covered <= sizes[name] else (b"", 0)


def pack_index(entries: Iterable[tuple[str, int]], covered: int) -> bytes:
    """An index file: a first record with the number of bytes covered, then key and offset of every line."""
    return _head(covered) + _pack(entries)


def _head(covered: int) -> bytes:
    return bytes(16) + covered.to_bytes(8, "big")


def _pack(entries: Iterable[tuple[str, int]]) -> bytes:
    return b"".join(bytes.fromhex(key) + offset.to_bytes(8, "big") for key, offset in entries)


def scan(files: JournalFiles, name: str, start: int) -> tuple[list[tuple[str, int]], int]:
    """Key and offset of each whole line from a byte on, and where the last whole line ends."""
    content = files.read(name, start)
    end = content.rfind(b"\n") + 1
    # Every actor reads what all others write: the key is looked for, the rest of a line is parsed where it is wanted.
    found = [(match[1].decode(), start + match.start()) for match in _KEY.finditer(content, 0, end)]
    return found, start + end


def index_of(places: dict[str, tuple[str, int]]) -> Index:
    """A sorted index of found lines."""
    by_segment: dict[str, list[tuple[str, int]]] = {}
    for key, (name, offset) in places.items():
        by_segment.setdefault(name, []).append((key, offset))
    return _sort([_pack(entries) for entries in by_segment.values()], list(by_segment), {})
