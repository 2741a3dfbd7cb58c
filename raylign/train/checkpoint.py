"""A training checkpoint as files that fit any number of workers and any ZeRO stage. This acts (reads and writes files).

    state.json                        format, number of shards, optimizer steps, what the trainer keeps beside them
    shard-00001-of-00002.safetensors  fp32 master weights and both Adam moments of some of the parameters, each whole
    random-00001-of-00002.json        that worker's random generators

12 bytes a parameter that is trained: the bf16 weights follow from the masters, gradients are made anew, and learning
rate and batches follow from the step. Parameters stand under their own names, so nothing depends on who wrote them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from raylign.errors import TrainingError
from raylign.run_folder import write_json

FORMAT = 1
MASTER = "master"
MOMENTS = ("exp_avg", "exp_avg_sq")
PARTS = (MASTER, *MOMENTS)
_STATE = "state.json"

Reader = Callable[[str, str], torch.Tensor]
"""A parameter's tensor by part and name, whole, in fp32, on the CPU."""


@dataclass(frozen=True)
class Share:
    """What one worker writes of a checkpoint."""

    rank: int
    workers: int
    tensors: dict[str, torch.Tensor]
    """By `tensor_key`."""
    random: dict[str, Any]
    optimizer_steps: int
    trainer: dict[str, Any]
    """What the trainer keeps, as JSON; the first worker's is written."""


def tensor_key(part: str, parameter: str) -> str:
    """The name of a tensor in a shard."""
    return f"{part}/{parameter}"


def owners(sizes: Mapping[str, int], workers: int) -> dict[str, int]:
    """Which worker writes which parameter: the largest first, each to the worker with the least so far."""
    loads, found = [0] * workers, {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        found[name] = min(range(workers), key=lambda rank: (loads[rank], rank))
        loads[found[name]] += sizes[name]
    return found


def write_share(folder: Path, share: Share) -> None:
    """Write a worker's files. A checkpoint is whole when every worker has; each file is whole or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _shard(share.rank, share.workers)
    hidden = path.with_name(f".{path.name}.tmp")
    save_file(share.tensors, hidden)
    hidden.replace(path)
    write_json(folder / _random(share.rank, share.workers), share.random)
    if share.rank == 0:
        state = {"format": FORMAT, "shards": share.workers, "optimizer_steps": share.optimizer_steps}
        write_json(folder / _STATE, {**state, "trainer": share.trainer})


class SavedCheckpoint:
    """A checkpoint on disk."""

    def __init__(self, folder: Path) -> None:
        """Read what stands beside the tensors.

        Raises:
            TrainingError: there is no checkpoint of this format.
        """
        self.folder = folder
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            self.format, self.shards = int(state["format"]), int(state["shards"])
            self.optimizer_steps, self.trainer = int(state["optimizer_steps"]), dict(state["trainer"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._refusal(f"its {_STATE} is missing or cannot be read") from error
        if self.format != FORMAT:
            raise self._refusal(f"it has format {self.format}, and this version reads {FORMAT}")

    @contextmanager
    def tensors(self, shapes: Mapping[str, torch.Size]) -> Iterator[Reader]:
        """A reader of the tensors, one at a time, once they are known to fit.

        Args:
            shapes: shape of every parameter that is trained, by name.

        Raises:
            TrainingError: a shard is missing or cut off, or its parameters are not these.
        """
        with ExitStack() as stack:
            where: dict[str, Any] = {}
            for rank in range(self.shards):
                path = self.folder / _shard(rank, self.shards)
                try:
                    shard = stack.enter_context(safe_open(path, framework="pt"))
                except (OSError, SafetensorError) as error:
                    raise self._refusal(f"{path.name} is missing or not whole") from error
                where.update(dict.fromkeys(shard.keys(), shard))
            self._check(where, shapes)
            yield lambda part, name: where[tensor_key(part, name)].get_tensor(tensor_key(part, name))

    def random(self, rank: int) -> dict[str, Any] | None:
        """The random generators of a worker, or None where fewer workers wrote the checkpoint."""
        if rank >= self.shards:
            return None
        found: dict[str, Any] = json.loads((self.folder / _random(rank, self.shards)).read_text(encoding="utf-8"))
        return found

    def _check(self, where: Mapping[str, Any], shapes: Mapping[str, torch.Size]) -> None:
        wanted = {tensor_key(part, name): list(shape) for name, shape in shapes.items() for part in PARTS}
        if odd := sorted(wanted.keys() ^ where.keys()):
            raise self._refusal(f"its parameters are not the model's: {odd[0]} and {len(odd) - 1} more differ")
        for key, shape in wanted.items():
            found = list(where[key].get_slice(key).get_shape())
            if found != shape:
                raise self._refusal(f"{key} has shape {found}, and the model needs {shape}")

    def _refusal(self, reason: str) -> TrainingError:
        return TrainingError(
            f"checkpoint {self.folder} cannot be restored: {reason}", "delete the run's train folder and run again"
        )


def _shard(rank: int, workers: int) -> str:
    return f"shard-{rank + 1:05d}-of-{workers:05d}.safetensors"


def _random(rank: int, workers: int) -> str:
    return f"random-{rank + 1:05d}-of-{workers:05d}.json"
