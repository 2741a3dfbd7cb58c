"""The DeepSpeed configuration on CPU and on GPUs."""

from typing import Any

import pytest

from raylign.config import TrainConfig
from raylign.train.deepspeed_config import accumulates_itself, accumulation_steps, deepspeed_config


def test_the_laptop_form_takes_deepspeeds_own_cpu_optimizer() -> None:
    found = deepspeed_config(TrainConfig(), 1)
    assert found["zero_optimization"]["offload_optimizer"] == {"device": "cpu", "pin_memory": False}
    assert found["zero_optimization"]["stage"] == 1
    assert found["zero_optimization"]["reduce_bucket_size"] == 30_000_000
    assert found["bf16"] == {"enabled": True}
    assert found["optimizer"]["type"] == "AdamW"


def test_a_gpu_keeps_its_optimizer_unless_told_otherwise() -> None:
    gpu = TrainConfig(gpus_per_worker=1, workers=8, zero_stage=3, batch_size=64, micro_batch_size=2)
    zero = deepspeed_config(gpu, 8)["zero_optimization"]
    assert "offload_optimizer" not in zero
    assert zero["overlap_comm"] is True
    assert "reduce_bucket_size" not in zero
    assert zero["stage3_gather_16bit_weights_on_model_save"] is True
    gpu.offload_optimizer = True
    assert deepspeed_config(gpu, 8)["zero_optimization"]["offload_optimizer"] == {"device": "cpu", "pin_memory": True}


@pytest.mark.parametrize(
    ("workers", "micro", "batch", "steps"), [(1, 4, 4, 1), (2, 4, 64, 8), (4, 1, 4, 1), (3, 2, 8, 2)]
)
def test_a_worker_passes_its_share_of_the_global_batch(workers: int, micro: int, batch: int, steps: int) -> None:
    """Three workers of two pairs at a time, 8 pairs a step: the largest share is 3 pairs, in two passes."""
    train = TrainConfig(micro_batch_size=micro, batch_size=batch)
    found = deepspeed_config(train, workers)
    assert accumulation_steps(train, workers) == steps == found["gradient_accumulation_steps"]
    assert found["train_micro_batch_size_per_gpu"] == micro
    assert "train_batch_size" not in found  # DeepSpeed would refuse a batch that does not divide


def test_training_settings_arrive() -> None:
    train = TrainConfig(dtype="fp32", weight_decay=0.1, learning_rate=2e-7, max_gradient_norm=0.5, zero_stage=2)
    found = deepspeed_config(train, 1)
    assert found["bf16"] == {"enabled": False}
    assert found["gradient_clipping"] == 0.5
    assert found["optimizer"]["params"]["lr"] == 2e-7
    assert found["optimizer"]["params"]["weight_decay"] == 0.1
    assert found["zero_optimization"]["stage"] == 2


def test_several_workers_add_up_bf16_gradients_in_fp32() -> None:
    assert deepspeed_config(TrainConfig(workers=2), 2)["communication_data_type"] == "fp32"
    assert "communication_data_type" not in deepspeed_config(TrainConfig(), 1)


@pytest.mark.parametrize(
    ("given", "workers", "by_deepspeed", "by_raylign"),
    [
        ({"micro_batch_size": 2}, 1, False, True),
        ({"micro_batch_size": 2, "zero_stage": 2}, 2, False, True),
        ({"micro_batch_size": 2, "zero_stage": 3}, 1, True, False),
        ({"micro_batch_size": 2, "zero_stage": 2, "gpus_per_worker": 1}, 1, True, False),
        ({"micro_batch_size": 2, "zero_stage": 1, "gpus_per_worker": 1}, 1, False, False),
        ({"micro_batch_size": 2, "zero_stage": 2, "gpus_per_worker": 1, "offload_optimizer": True}, 1, False, False),
        ({"micro_batch_size": 2, "dtype": "fp32", "zero_stage": 3}, 1, False, False),
        ({}, 1, False, False),  # one micro-batch: nothing to add up
        ({"zero_stage": 3}, 1, False, False),
    ],
)
def test_bf16_gradients_of_micro_batches_are_added_up_in_fp32(
    given: dict[str, Any], workers: int, by_deepspeed: bool, by_raylign: bool
) -> None:
    train = TrainConfig(**given)
    assert (deepspeed_config(train, workers).get("data_types") == {"grad_accum_dtype": "fp32"}) is by_deepspeed
    assert accumulates_itself(train, workers) is by_raylign
