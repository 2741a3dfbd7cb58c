"""Checkpoints of a training worker through Ray Train: written behind its back, found again, the best one. This acts.

A checkpoint is copied out of the engine between two steps and written by Ray Train's upload thread while training goes
on. Ray Train knows it from when every worker has written its part, and restarts from the newest that it knows.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
from ray.train import Checkpoint, CheckpointConsistencyMode, CheckpointUploadMode

from raylign.train.checkpoint import SavedCheckpoint, Share, write_share
from raylign.train.early_stop import LOWER_IS_BETTER
from raylign.train.engine import Engine

_ASK_SECONDS = 2.0
"""Between questions whether a node is about to go; its notice comes tens of seconds ahead."""
_LAST = 19
"""The lowest of Linux's priorities."""


class Checkpoints:
    """One worker's checkpoints. Every method is called by all workers together."""

    def __init__(self, engine: Engine, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        folder: Ray Train's folder of the run, on storage that all workers share.
        """
        self.engine = engine
        self.folder = folder
        self.clock = clock
        self.asked_at = clock()
        self.notices: set[str] = set()
        self.written = threading.Event()
        self.written.set()

    def save(self, step: int, trainer: dict[str, Any], figures: dict[str, Any]) -> float:
        """Begin a checkpoint after `step` steps; returns the seconds for which training stood still.

        It waits for the one before it, so that one copy at most is in memory, 12 bytes for each of a worker's
        parameters.

        Args:
            trainer: what to keep beside weights and optimizer, as JSON.
            figures: held-out figures of these weights, by which Ray Train keeps the best; none where not evaluated.
        """
        started = self.clock()
        self.written.wait()
        self.written.clear()
        share = self.engine.share(trainer)
        name = f"step-{step:08d}"
        ray.train.report(
            {"step": step, **figures},
            checkpoint=Checkpoint.from_directory(str(self.folder / name)),
            checkpoint_dir_name=name,
            checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
            delete_local_checkpoint_after_upload=False,
            checkpoint_upload_fn=lambda planned, _: self._write(planned, share),
        )
        return self.clock() - started

    def _write(self, planned: Checkpoint, share: Share) -> Checkpoint:
        # Of this thread alone: it then writes in the moments in which a step leaves a core idle. Threads that multiply
        # together all wait for the one whose core is taken.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LAST)
        try:
            write_share(Path(planned.path), share)
        finally:  # Ray Train ends a training whose upload failed
            self.written.set()
        return planned

    def newest(self) -> SavedCheckpoint | None:
        """The checkpoint to go on from, if there is one; what was begun after it and never whole is removed.

        Raises:
            TrainingError: it cannot be read.
        """
        checkpoint = ray.train.get_checkpoint()
        newest = Path(checkpoint.path) if checkpoint else None
        if self.engine.rank == 0:
            for folder in self.folder.glob("step-*"):
                if newest is None or folder.name > newest.name:
                    shutil.rmtree(folder, ignore_errors=True)
        self.engine.gather(None)  # before any worker writes there again
        return SavedCheckpoint(newest) if newest else None

    def best(self, metric: str) -> tuple[SavedCheckpoint, dict[str, Any]]:
        """The checkpoint with the best held-out figure and its figures; the latest of equals, as Ray Train keeps it."""
        sign = -1 if metric in LOWER_IS_BETTER else 1
        known = [found for found in self.settled() if metric in found.metrics]
        best = max(known, key=lambda found: (sign * found.metrics[metric], found.metrics["step"]))
        return SavedCheckpoint(Path(best.checkpoint.path)), best.metrics

    def settled(self) -> list[Any]:
        """Ray Train's checkpoints, once it knows of all that were begun."""
        return list(ray.train.get_all_reported_checkpoints(consistency_mode=CheckpointConsistencyMode.COMMITTED))

    def due_to_notice(self) -> bool:
        """Whether Ray has said since the last time that a node of this run is about to go (a preemption, a drain)."""
        if not self.engine.gather(self.clock() - self.asked_at >= _ASK_SECONDS)[0]:  # by the first worker's clock
            return False
        self.asked_at = self.clock()
        found = ray.train.get_preemption_info()
        nodes = set(found.preempted_node_ids) if found else set()
        new = nodes - self.notices
        self.notices |= nodes
        return bool(new)
