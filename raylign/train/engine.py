"""The DeepSpeed engine around the policy: start, scoring over all workers, its state in and out. This acts."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist

from raylign.config.schema import LoopConfig
from raylign.errors import RaylignError, TrainingError
from raylign.train.accumulation import Accumulation
from raylign.train.checkpoint import SavedCheckpoint, Share
from raylign.train.cpu import prepare_cpu
from raylign.train.deepspeed_config import accumulates_itself, accumulation_steps, deepspeed_config
from raylign.train.flops import model_size
from raylign.train.layout import choose_layout
from raylign.train.lora import adapter_off, has_adapter
from raylign.train.model_loading import load_model
from raylign.train.packing import Batch, Layout, pack
from raylign.train.policy import Policy
from raylign.train.random_state import random_state, set_random_state
from raylign.train.reference import AnswerLogps
from raylign.train.tokens import TokenPair
from raylign.train.ulysses import Slices, check_row


class Engine:
    """One worker's share of the policy and its optimizer. Every method is called by all workers together."""

    def __init__(self, model: str, config: LoopConfig, local_workers: int) -> None:
        on_gpu = config.train.gpus_per_worker > 0
        if not on_gpu:
            prepare_cpu(local_workers)
        import deepspeed

        deepspeed.init_distributed(dist_backend="nccl" if on_gpu else "gloo")
        torch.manual_seed(config.seed)
        self.rank, self.workers = dist.get_rank(), dist.get_world_size()
        self.sequence_parallel = config.train.sequence_parallel
        self.micro_batches = accumulation_steps(config.train, self.workers)
        train = config.train
        policy = Policy(load_model(model, config), train.kept_logits_mb, train.zero_stage < 3, train.attention)
        self.chosen = choose_layout(policy.model, train.max_length)
        if self.sequence_parallel > 1:
            check_row(self.chosen, self.sequence_parallel)
            policy.slices = Slices(self.sequence_parallel)
        self.size = model_size(policy.model)  # before ZeRO-3 takes the weights apart
        self.engine, *_ = deepspeed.initialize(
            model=policy,
            model_parameters=[parameter for parameter in policy.parameters() if parameter.requires_grad],
            config=deepspeed_config(config.train, self.workers),
        )
        trained = {name: parameter for name, parameter in policy.named_parameters() if parameter.requires_grad}
        held_back = trained if accumulates_itself(train, self.workers) else {}
        self.accumulation = Accumulation(held_back, self.engine.is_gradient_accumulation_boundary)
        self.engine.train()
        self.micro_batch_size = config.train.micro_batch_size
        self.zero_stage = config.train.zero_stage

    @property
    def row_workers(self) -> int:
        """How many rows are worked on at once: the workers, or groups of them that share a row's slices."""
        return self.workers // self.sequence_parallel

    @property
    def row_rank(self) -> int:
        """Which of these is this worker's, from 0."""
        return self.rank // self.sequence_parallel

    @property
    def layout(self) -> Layout:
        """How its micro-batches lie; `chosen` has the reason."""
        return self.chosen.layout

    @property
    def products(self) -> str:
        """What matrices are multiplied in: `bf16` or `fp32`."""
        return "bf16" if self.engine.module.in_bf16 else "fp32"

    @property
    def gradient_norm(self) -> float:
        """Norm of the last step's gradients over all workers, before clipping."""
        return float(self.engine.get_global_grad_norm() or 0.0)

    def set_learning_rate(self, rate: float) -> None:
        """The rate of the next optimizer step."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate

    def check_gradients(self) -> None:
        """After a step's last micro-batch: raise a TrainingError, on all workers, where one loses a gradient."""
        if not self.accumulation.sums:
            return
        if left := [name for names in self.gather(self.accumulation.left_behind()) for name in names]:
            raise TrainingError(
                f"{left[0]} has a gradient from one micro-batch of a step and none from its last",
                "set train.micro_batch_size so that a worker takes its part of train.batch_size at once",
            )

    def batch(self, pairs: Sequence[TokenPair]) -> Batch:
        """A micro-batch laid out on this worker's device."""
        return pack(pairs, self.layout).to(self.engine.device)

    def score(
        self, pairs: Sequence[TokenPair], progress: Callable[[int], None] = lambda done: None
    ) -> dict[str, AnswerLogps]:
        """Log-probabilities of every pair's answers under the weights as they are, by id, on every worker.

        Micro-batches go round the workers; one that runs out repeats a pair, as ZeRO-3 gathers weights in step.
        """
        size = self.micro_batch_size
        batches = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        found: dict[str, AnswerLogps] = {}
        self.engine.eval()  # an adapter may have dropout
        for first in range(0, len(batches), self.row_workers):
            at = first + self.row_rank
            mine = batches[at] if at < len(batches) else pairs[:1]
            with torch.no_grad():
                chosen_B, rejected_B = self.engine(self.batch(mine))
            scores = zip(chosen_B.tolist(), rejected_B.tolist(), strict=True)
            found.update(zip([pair.id for pair in mine], scores, strict=True))
            progress(min((first + self.row_workers) * size, len(pairs)))
        self.engine.train()
        merged: dict[str, AnswerLogps] = {}
        for part in self.gather(found):
            merged.update(part)
        return merged

    def gather(self, value: Any) -> list[Any]:
        """A small value of every worker, on every worker, in rank order."""
        values: list[Any] = [None] * self.workers
        dist.all_gather_object(values, value)
        return values

    def share(self, trainer: dict[str, Any]) -> Share:
        """This worker's part of a checkpoint, copied: the next step may change what it was taken from.

        Args:
            trainer: what the caller keeps beside weights and optimizer, as JSON.
        """
        from raylign.train.zero_state import optimizer_steps, take_tensors

        tensors = take_tensors(self.engine, self.rank, self.workers)
        return Share(self.rank, self.workers, tensors, random_state(), optimizer_steps(self.engine), trainer)

    def restore(self, saved: SavedCheckpoint, pairs: Sequence[TokenPair]) -> None:
        """Take up weights, optimizer and random generators, of whatever number of workers and ZeRO stage.

        Args:
            pairs: something to pass through the model, for a step without effect that makes the optimizer's state.

        Raises:
            TrainingError: the checkpoint does not fit the model; on every worker, whichever found it.
        """
        from raylign.train.zero_state import full_shape, put_tensors, trained_parameters

        shapes = {name: full_shape(value) for name, value in trained_parameters(self.engine).items()}
        self._agree(saved, shapes)
        self._step_without_effect(pairs)
        with saved.tensors(shapes) as read:
            put_tensors(self.engine, read, saved.optimizer_steps)
        if (drawn := saved.random(self.rank)) is not None:
            set_random_state(drawn)

    def _agree(self, saved: SavedCheckpoint, shapes: dict[str, torch.Size]) -> None:
        """Refuse on all workers what one of them cannot read; the others would wait for it for ever."""
        found = None
        try:
            with saved.tensors(shapes):
                pass
        except RaylignError as error:
            found = (error.message, error.cure)
        for refusal in self.gather(found):
            if refusal is not None:
                raise TrainingError(*refusal)

    def _step_without_effect(self, pairs: Sequence[TokenPair]) -> None:
        self.set_learning_rate(0.0)
        for _ in range(self.micro_batches):
            chosen_B, rejected_B = self.engine(self.batch(pairs))
            self.engine.backward((chosen_B.sum() + rejected_B.sum()) * 0.0, scale_wrt_gas=False)
            self.engine.step()

    def score_reference(self, pairs: Sequence[TokenPair], progress: Callable[[int], None]) -> dict[str, AnswerLogps]:
        """The same under the reference: a policy without a trained step, or one whose adapter is switched off."""
        with adapter_off(self.engine.module.model):
            return self.score(pairs, progress)

    def model_and_state(self) -> tuple[Any, dict[str, torch.Tensor] | None]:
        """The Hugging Face model, and its weights by name on rank 0 (None elsewhere under ZeRO-3).

        The weights are whole; of a model with an adapter they are the adapter's alone.
        """
        model = self.engine.module.model
        adapted = has_adapter(model)
        if self.zero_stage < 3:
            trained = {name for name, value in model.named_parameters() if value.requires_grad}
            return model, {name: value for name, value in model.state_dict().items() if not adapted or name in trained}
        whole = self.engine._zero3_consolidated_16bit_state_dict(exclude_frozen_parameters=adapted)
        if whole is None:
            return model, None
        return model, {name.removeprefix("model."): value for name, value in whole.items()}
