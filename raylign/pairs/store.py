"""The store of a run's pairs: Parquet parts by split, the rejected rows beside them, and a manifest. This acts.

train/part-*.parquet      pairs to train on, in TRL's conversational preference format
heldout/part-*.parquet    pairs kept out of training
rejected/part-*.parquet   candidates that became no pair, and why
manifest.json             source, counts, contrast, models, templates, and every file with its rows and checksum
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from raylign.config import TrainConfig
from raylign.parts import PartWriter, part_paths
from raylign.records import Pair, Rejected
from raylign.run_folder import write_json

_CONTRAST = ("jaccard", "levenshtein", "length_ratio", "shared_prefix")


def pairs_folder(train: TrainConfig, run: Path) -> Path:
    """The store that a run trains on: the one that is configured, or else its own."""
    return Path(train.pairs).expanduser() if train.pairs else run / "pairs"


class PairStore:
    """Writes one store afresh; what an earlier, unfinished attempt left is removed first."""

    def __init__(self, folder: Path) -> None:
        for name in ("train", "heldout", "rejected"):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "manifest.json").unlink(missing_ok=True)
        self.folder = folder
        self.splits = {name: PartWriter(folder / name, Pair, 5000, float("inf")) for name in ("train", "heldout")}
        self.rejected = PartWriter(folder / "rejected", Rejected, 5000, float("inf"))
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.metrics: dict[str, list[float]] = {name: [] for name in _CONTRAST}
        self.lineage: dict[str, set[str]] = {"target_model": set(), "reviser_model": set(), "template": set()}

    def add(self, row: Pair | Rejected) -> None:
        """Store a row where it belongs."""
        if isinstance(row, Rejected):
            self.rejected.add([row])
            self.reasons[row.reason] += 1
            return
        self.splits[row.split].add([row])
        self.counts[row.split] += 1
        if row.chosen and row.rejected:
            for name, values in self.metrics.items():
                values.append(getattr(row, name))
        for name, seen in self.lineage.items():
            seen.add(getattr(row, name))

    def __enter__(self) -> "PairStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in (*self.splits.values(), self.rejected):
            writer.flush()

    def figures(self) -> dict[str, Any]:
        """Counts of what was added, and contrast over the pairs with both answers; candidates are all rows."""
        pairs = self.counts.total()
        return {
            "candidates": pairs + self.reasons.total(),
            "pairs": pairs,
            "train": self.counts["train"],
            "heldout": self.counts["heldout"],
            "rejected": dict(self.reasons.most_common()),
            "contrast": {name: summarise(values) for name, values in self.metrics.items()},
        }

    def write_manifest(self, source: str) -> None:
        """Describe the written store, whose pairs come from this source; call after the block has ended."""
        folders = [self.folder / name for name in ("train", "heldout", "rejected")]
        described = {
            "source": source,
            **self.figures(),
            **{f"{name}s": sorted(seen) for name, seen in self.lineage.items()},
            "files": _describe_files(self.folder, (path for folder in folders for path in part_paths(folder))),
        }
        write_json(self.folder / "manifest.json", described)


def summarise(values: list[float]) -> dict[str, float]:
    """Mean, median, 5th and 95th percentile (interpolated), rounded for reading; empty for no values."""
    if not values:
        return {}
    low, median, high = np.percentile(values, [5, 50, 95])
    named = {"mean": np.mean(values), "median": median, "percentile_5": low, "percentile_95": high}
    return {name: round(float(value), 4) for name, value in named.items()}


def read_manifest(folder: Path) -> dict[str, Any]:
    """What stands beside a store's pairs about their making; empty for pairs that were made elsewhere."""
    path = folder / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _describe_files(root: Path, paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    described = {}
    for path in paths:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        described[str(path.relative_to(root))] = {"rows": pq.read_metadata(path).num_rows, "sha256": checksum}
    return described
