"""Sums over random resamples of rows: what the intervals of the evaluation and of a plan are made from. Pure numpy."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_INDICES_AT_A_TIME = 2**22
"""Bounds memory: resamples are drawn in chunks of at most this many row indices (32 MiB)."""


def resampled_sums(values_KN: Floats, resamples: int, seed: int) -> Floats:
    """Sums of K quantities over each resample of the N rows, drawn with replacement: [K, resamples]."""
    chunks = [values_KN[:, indices].sum(axis=2) for indices in _index_chunks(values_KN.shape[1], resamples, seed)]
    return np.concatenate(chunks, axis=1)


def _index_chunks(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    rows = max(1, _INDICES_AT_A_TIME // count)
    for start in range(0, resamples, rows):
        yield generator.integers(0, count, size=(min(rows, resamples - start), count))
