"""What a training run hands to its workers, and the files through which both sides talk; no cluster.

On a cluster the run folder lies on storage that the driver and all workers share.

    <run>/train/tokens/{train,heldout}.parquet   the pairs as token ids, written by the driver
    <pairs>/reference-<key>.parquet              reference log-probabilities, written by rank 0; else in <run>/train
    <run>/train/products.json                    what `train.products` came to when the run began
    <run>/train/progress.json                    how far it is, rewritten by rank 0 at every step
    <run>/train/offence.json                     the pairs of a step that stopped the run by its numbers
    <run>/train/ray/step-<steps>/                checkpoints (`raylign.train.checkpoint`), kept and dropped by Ray Train
    <run>/metrics.jsonl                          a line every `log_every` steps, evaluation, checkpoint and (re)start
    <run>/checkpoint/                            the aligned model
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raylign.config.schema import LoopConfig
from raylign.parts import write_table
from raylign.train.tokens import TokenPair

CHECKPOINTS = "ray"
"""Name of the run in Ray Train, and so of its folder."""

_TOKENS = pa.schema(
    [("id", pa.string())] + [(name, pa.list_(pa.int32())) for name in ("prompt_ids", "chosen_ids", "rejected_ids")]
)


@dataclass(frozen=True)
class Job:
    """A training run as its workers see it."""

    config: LoopConfig
    model: str
    """`bundled`, an absolute path, or a hub id; every worker finds it on its own host."""
    run: Path
    """The run folder."""
    pairs: Path
    """The folder of pairs, with `train` and `heldout` inside."""
    names: dict[str, str] = field(default_factory=dict)
    """What the models in configuration and pairs are called elsewhere; folders are not among them. The driver looks: in
    a worker's directory a relative path is another one."""

    @property
    def reference_folders(self) -> tuple[Path, Path]:
        """Where reference log-probabilities are looked for and kept: for all runs on these pairs, else for this one."""
        chosen = self.config.train.reference_folder
        return Path(chosen).expanduser() if chosen else self.pairs, self.folder

    @property
    def folder(self) -> Path:
        """The stage's own folder."""
        return self.run / "train"

    @property
    def products_path(self) -> Path:
        """Where the driver keeps what `train.products` came to: {"products"}."""
        return self.folder / "products.json"

    @property
    def progress_path(self) -> Path:
        """Where rank 0 says how far it is: {"phase", "done", "total", "note"}."""
        return self.folder / "progress.json"

    @property
    def checkpoints_folder(self) -> Path:
        """Ray Train's own folder: what it knows of the run, and a folder for each checkpoint."""
        return self.folder / CHECKPOINTS

    @property
    def offence_path(self) -> Path:
        """Where rank 0 keeps the pairs of a step that stopped the run."""
        return self.folder / "offence.json"

    @property
    def export_path(self) -> Path:
        """Where the aligned model goes."""
        return self.run / "checkpoint"

    def save_tokens(self, split: str, pairs: Sequence[TokenPair]) -> None:
        """Write the pairs of a split as token ids."""
        table = pa.Table.from_pylist([asdict(pair) for pair in pairs], schema=_TOKENS)
        write_table(self.folder / "tokens" / f"{split}.parquet", table)

    def load_tokens(self, split: str) -> list[TokenPair]:
        """The pairs of a split as token ids, in the order they were written."""
        rows = pq.read_table(self.folder / "tokens" / f"{split}.parquet").to_pylist()
        return [
            TokenPair(row["id"], tuple(row["prompt_ids"]), tuple(row["chosen_ids"]), tuple(row["rejected_ids"]))
            for row in rows
        ]
