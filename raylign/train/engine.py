"""The DeepSpeed engine around the policy: start, scoring over all workers, saving and restoring. This acts."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.distributed as dist

from raylign.config.schema import LoopConfig
from raylign.errors import TrainingError
from raylign.train.deepspeed_config import deepspeed_config
from raylign.train.model_loading import load_model, why_not_shared
from raylign.train.packing import Batch, pack
from raylign.train.policy import Policy
from raylign.train.reference import AnswerLogps
from raylign.train.threads import threads_per_worker
from raylign.train.tokens import TokenPair

_TAG = "state"


class Engine:
    """One worker's share of the policy and its optimizer. Every method is called by all workers together."""

    def __init__(self, model: str, config: LoopConfig, local_workers: int) -> None:
        on_gpu = config.train.gpus_per_worker > 0
        if not on_gpu:
            os.environ["DS_ACCELERATOR"] = "cpu"  # also on a host that has a GPU
            self._set_threads(local_workers)
        import deepspeed

        deepspeed.init_distributed(dist_backend="nccl" if on_gpu else "gloo")
        torch.manual_seed(config.seed)
        policy = Policy(load_model(model, config))
        self.reason_padded = why_not_shared(policy.model)
        self.engine, *_ = deepspeed.initialize(
            model=policy,
            model_parameters=[parameter for parameter in policy.parameters() if parameter.requires_grad],
            config=deepspeed_config(config.train),
        )
        self.engine.train()
        self.rank, self.workers = dist.get_rank(), dist.get_world_size()
        self.micro_batch_size = config.train.micro_batch_size
        self.zero_stage = config.train.zero_stage

    @staticmethod
    def _set_threads(local_workers: int) -> None:
        # Ray sets OMP_NUM_THREADS from logical CPUs, which are places for actors and not cores.
        cores = psutil.cpu_count(logical=False) or 1
        torch.set_num_threads(threads_per_worker(cores, len(os.sched_getaffinity(0)), local_workers))

    @property
    def layout(self) -> str:
        """`shared` or `padded`."""
        return "padded" if self.reason_padded else "shared"

    @property
    def gradient_norm(self) -> float:
        """Norm of the last step's gradients over all workers, before clipping."""
        return float(self.engine.get_global_grad_norm() or 0.0)

    def set_learning_rate(self, rate: float) -> None:
        """The rate of the next optimizer step."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate

    def batch(self, pairs: Sequence[TokenPair]) -> Batch:
        """A micro-batch laid out on this worker's device."""
        return pack(pairs, self.layout == "shared").to(self.engine.device)

    def score(
        self, pairs: Sequence[TokenPair], progress: Callable[[int], None] = lambda done: None
    ) -> dict[str, AnswerLogps]:
        """Log-probabilities of every pair's answers under the weights as they are, by id, on every worker.

        Micro-batches go round the workers; one that runs out repeats a pair, as ZeRO-3 gathers weights in step.
        """
        size = self.micro_batch_size
        batches = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        found: dict[str, AnswerLogps] = {}
        for first in range(0, len(batches), self.workers):
            at = first + self.rank
            mine = batches[at] if at < len(batches) else pairs[:1]
            with torch.no_grad():
                chosen_B, rejected_B = self.engine(self.batch(mine))
            scores = zip(chosen_B.tolist(), rejected_B.tolist(), strict=True)
            found.update(zip([pair.id for pair in mine], scores, strict=True))
            progress(min((first + self.workers) * size, len(pairs)))
        merged: dict[str, AnswerLogps] = {}
        for part in self.gather(found):
            merged.update(part)
        return merged

    def gather(self, value: Any) -> list[Any]:
        """A small value of every worker, on every worker, in rank order."""
        values: list[Any] = [None] * self.workers
        dist.all_gather_object(values, value)
        return values

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write this worker's part of weights and optimizer, with what the caller keeps beside them."""
        self.engine.save_checkpoint(str(folder), tag=_TAG, client_state={"raylign": state})

    def restore(self, folder: Path) -> dict[str, Any]:
        """Take up the weights and optimizer of a checkpoint; returns what the caller kept beside them.

        Raises:
            TrainingError: the checkpoint is not whole, or was written by another number of workers.
        """
        path, client = self.engine.load_checkpoint(str(folder), tag=_TAG)
        if path is None or "raylign" not in client:
            raise TrainingError(
                f"checkpoint {folder} cannot be restored", "delete the run's train folder and run again"
            )
        state: dict[str, Any] = client["raylign"]
        return state

    def model_and_state(self) -> tuple[Any, dict[str, torch.Tensor] | None]:
        """The Hugging Face model, and its whole weights by name on rank 0 (None elsewhere under ZeRO-3)."""
        model = self.engine.module.model
        if self.zero_stage < 3:
            return model, model.state_dict()
        whole = self.engine._zero3_consolidated_16bit_state_dict()
        if whole is None:
            return model, None
        return model, {name.removeprefix("model."): value for name, value in whole.items()}
