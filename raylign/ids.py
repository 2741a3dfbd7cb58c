"""Sets of ids in sorted arrays: sixteen bytes an id, where Python's own set takes over a hundred. Pure numpy.

An id is 32 hexadecimal digits (`records.content_id`). Ten million of them take 160 MB.
"""

import binascii
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]
"""One 64-bit half of N ids, [N]."""
Ids: TypeAlias = Sequence[str] | Any
"""Ids as strings, or as a pyarrow.ChunkedArray of strings."""


def to_words(ids: Ids) -> tuple[Words, Words]:
    """The high and the low halves of ids, [N] each.

    Raises:
        ValueError: an id is not 32 hexadecimal digits.
    """
    texts = ids.to_pylist() if isinstance(ids, pa.ChunkedArray) else ids
    if any(len(text) != 32 for text in texts):
        raise ValueError("an id is not 32 hexadecimal digits long")
    pairs = np.frombuffer(binascii.unhexlify("".join(texts)), dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def find(high: Words, low: Words, wanted_high: Words, wanted_low: Words) -> npt.NDArray[np.intp]:
    """Where each of M wanted ids stands in N ids that are sorted by their high half, [M]; −1 where it is missing."""
    at = np.searchsorted(high, wanted_high)
    found = np.full(len(wanted_high), -1, dtype=np.intp)
    rest = np.arange(len(wanted_high))
    # Ids with the same high half stand together. There are hardly ever two, but they must not be confused.
    while len(rest):
        rest = rest[at[rest] < len(high)]
        rest = rest[high[at[rest]] == wanted_high[rest]]
        hit = low[at[rest]] == wanted_low[rest]
        found[rest[hit]] = at[rest[hit]]
        rest = rest[~hit]
        at[rest] += 1
    return found


class IdSet:
    """A set of ids, made once from batches and asked in batches."""

    def __init__(self, batches: Iterable[Ids] = ()) -> None:
        halves = [to_words(batch) for batch in batches if len(batch)]
        empty = np.empty(0, np.uint64)
        self.high = np.concatenate([high for high, _ in halves]) if halves else empty
        self.low = np.concatenate([low for _, low in halves]) if halves else empty
        del halves
        order = np.argsort(self.high, kind="stable")
        self.high, self.low = self.high[order], self.low[order]

    def __len__(self) -> int:
        """How many were put in, one that came twice counted twice."""
        return len(self.high)

    def contains(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Which of these ids are in the set, [N]."""
        return find(self.high, self.low, *to_words(ids)) >= 0
