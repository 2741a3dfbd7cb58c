"""The training section of the configuration in DeepSpeed's own words; pure."""

import math
from typing import Any

from raylign.config.training import TrainConfig

_NEVER = 1_000_000_000
_CPU_BUCKET = 30_000_000
"""Gradients, in numbers, that are reduced at a time on CPU. DeepSpeed's half a billion would be all of a small model's,
gone through again when the last one is there; in parts a step takes some 5% less time and a quarter GiB less memory."""


def deepspeed_config(train: TrainConfig, workers: int) -> dict[str, Any]:
    """The configuration dictionary for `deepspeed.initialize` with so many workers.

    The optimizer is offloaded on CPU too: it is there anyway, and only so does DeepSpeed take its own CPU AdamW, which
    is several times faster than torch's. The learning rate is set before every step from `raylign.train.schedule`.
    Gradients are added up over workers in fp32, whatever their type, and over micro-batches where DeepSpeed can:
    see `accumulates_itself` for where it cannot.
    """
    on_gpu, in_bf16 = train.gpus_per_worker > 0, train.dtype == "bf16"
    zero: dict[str, Any] = {"stage": train.zero_stage, "overlap_comm": on_gpu, "contiguous_gradients": True}
    if not on_gpu and train.zero_stage < 3:
        zero["reduce_bucket_size"] = _CPU_BUCKET
    if not on_gpu or train.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": on_gpu}
    if train.offload_parameters:
        zero["offload_param"] = {"device": "cpu", "pin_memory": on_gpu}
    if train.zero_stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    further: dict[str, Any] = {}
    if in_bf16 and workers > 1:
        further["communication_data_type"] = "fp32"
    if in_bf16 and accumulation_steps(train, workers) > 1 and _partitions_fp32(train):
        further["data_types"] = {"grad_accum_dtype": "fp32"}
    return {
        "train_micro_batch_size_per_gpu": train.micro_batch_size,
        "gradient_accumulation_steps": accumulation_steps(train, workers),
        "gradient_clipping": train.max_gradient_norm,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": train.learning_rate,
                "betas": [0.9, 0.999],
                "eps": 1e-8,
                "weight_decay": train.weight_decay,
            },
        },
        "bf16": {"enabled": in_bf16},
        "zero_optimization": zero,
        "steps_per_print": _NEVER,
        "wall_clock_breakdown": False,
        **further,
    }


def _partitions_fp32(train: TrainConfig) -> bool:
    """Whether DeepSpeed can keep fp32 sums of bf16 gradients, each worker its part of them."""
    on_gpus_alone = train.gpus_per_worker > 0 and not train.offload_optimizer
    return train.zero_stage == 3 or (train.zero_stage == 2 and on_gpus_alone)


def accumulates_itself(train: TrainConfig, workers: int) -> bool:
    """Whether raylign adds up the micro-batches' gradients: on CPU, where DeepSpeed would in bf16.

    On GPUs that leaves ZeRO 1, and 2 with the optimizer in host memory, at DeepSpeed's sums in bf16: a whole fp32
    gradient would be twice the weights.
    """
    several = accumulation_steps(train, workers) > 1
    return several and train.dtype == "bf16" and train.gpus_per_worker == 0 and not _partitions_fp32(train)


def accumulation_steps(train: TrainConfig, workers: int) -> int:
    """Micro-batches each of so many workers passes through the model for one optimizer step.

    The global batch is `train.batch_size` whatever the number of workers: where it does not divide among them, some
    micro-batches are short (`raylign.train.order.share`).
    """
    rows = workers // train.sequence_parallel
    return math.ceil(train.batch_size / (rows * train.micro_batch_size))
