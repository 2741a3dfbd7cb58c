"""What a run was charged over all its starts, kept in its folder. This acts (files)."""

import json
from dataclasses import dataclass
from pathlib import Path

from raylign.run_folder import write_json


@dataclass(frozen=True)
class Ledger:
    """The spending of a run; charged, or perhaps charged, in US dollars."""

    folder: Path
    """The run's revisions, on storage that every node reaches; `spend.json` in it holds what calls cost."""
    batches_usd: float = 0.0
    """What batches cost: they keep their own accounts, so it counts here and is not in the file."""

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "spend.json"

    def read(self) -> float:
        """The whole so far."""
        if not self.path.exists():
            return self.batches_usd
        return float(json.loads(self.path.read_text(encoding="utf-8"))["committed_usd"]) + self.batches_usd

    def keep(self, committed_usd: float) -> None:
        """Replace what is written by this whole; nothing is written where calls have cost nothing."""
        if (calls_usd := committed_usd - self.batches_usd) > 0.0:
            write_json(self.path, {"committed_usd": calls_usd})
