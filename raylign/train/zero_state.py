"""Weights and moments out of DeepSpeed and into it, whole and by name, alike for every ZeRO stage. This acts.

DeepSpeed's own checkpoints are pickles in the layout of one ZeRO stage and one number of workers. Its accessors in
`deepspeed.utils` (`safe_get_full_*`, `safe_set_*`) give and take the tensors themselves. Three things they leave to us:
moments do not exist before the optimizer's first step (the caller takes one that changes nothing); weights in the
compute type do not follow the masters; and DeepSpeed's CPU Adam keeps a product of its betas that no state holds.
"""

from typing import Any

import torch
import torch.distributed as dist
from deepspeed.runtime.zero import GatheredParameters
from deepspeed.utils import (
    safe_get_full_fp32_param,
    safe_get_full_optimizer_state,
    safe_set_full_fp32_param,
    safe_set_full_optimizer_state,
    safe_set_local_fp32_param,
    safe_set_local_optimizer_state,
)

from raylign.train.checkpoint import MASTER, MOMENTS, PARTS, Reader, owners, tensor_key


def trained_parameters(engine: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters that the optimizer changes, by name."""
    return {name: value for name, value in engine.module.named_parameters() if value.requires_grad}


def full_shape(parameter: torch.nn.Parameter) -> torch.Size:
    """The shape of a whole parameter, of which ZeRO-3 may hold a part."""
    return torch.Size(getattr(parameter, "ds_shape", parameter.shape))


def take_tensors(engine: Any, rank: int, workers: int) -> dict[str, torch.Tensor]:
    """This worker's share of masters and moments as copies on the CPU; called by all workers together."""
    parameters = trained_parameters(engine)
    owner = owners({name: full_shape(value).numel() for name, value in parameters.items()}, workers)
    mine = {}
    for name, parameter in parameters.items():
        for part in PARTS:
            whole = (
                safe_get_full_fp32_param(parameter)
                if part == MASTER
                else safe_get_full_optimizer_state(parameter, part)
            )
            if owner[name] == rank:
                mine[tensor_key(part, name)] = whole.detach().to("cpu", torch.float32).contiguous()
    return mine


def put_tensors(engine: Any, read: Reader, optimizer_steps: int) -> None:
    """Set masters, moments, compute weights and step count; called by all workers together, after a first step."""
    for name, parameter in trained_parameters(engine).items():
        for part in PARTS:
            _set(parameter, part, read(part, name).to(engine.device))
        zero3 = hasattr(parameter, "ds_id")
        with torch.no_grad(), GatheredParameters([parameter], modifier_rank=0, enabled=zero3):
            if not zero3 or dist.get_rank() == 0:
                parameter.copy_(read(MASTER, name))
    set_steps(engine.optimizer.optimizer, optimizer_steps)


def _set(parameter: torch.nn.Parameter, part: str, whole: torch.Tensor) -> None:
    if not hasattr(parameter, "ds_id"):
        if part == MASTER:
            safe_set_full_fp32_param(parameter, whole)
        else:
            safe_set_full_optimizer_state(parameter, whole, part)
        return
    # ZeRO-3 pads what its workers cannot share evenly, and its full form then reads beyond the tensor's end.
    size = parameter.ds_tensor.numel()  # type: ignore[attr-defined]  # DeepSpeed adds it
    mine = whole.flatten()[size * dist.get_rank() : size * (dist.get_rank() + 1)]
    mine = torch.nn.functional.pad(mine, (0, size - mine.numel()))
    if part == MASTER:
        safe_set_local_fp32_param(parameter, mine)
    else:
        safe_set_local_optimizer_state(parameter, mine, part)


def optimizer_steps(engine: Any) -> int:
    """Steps that the optimizer has counted; its bias correction depends on it."""
    optimizer = engine.optimizer.optimizer
    counted = [state["step"] for state in optimizer.state.values() if "step" in state]
    counted += [group["step"] for group in optimizer.param_groups if "step" in group]
    return int(counted[0]) if counted else 0


def set_steps(optimizer: Any, steps: int) -> None:
    """Make an optimizer go on as after so many steps; its moments are set apart from that."""
    for holder in (*optimizer.state.values(), *optimizer.param_groups):
        if "step" in holder:
            holder["step"] = torch.full_like(holder["step"], steps) if torch.is_tensor(holder["step"]) else steps
    if hasattr(optimizer, "ds_opt_adam"):
        _replay_betas(optimizer, steps)


def _replay_betas(optimizer: Any, steps: int) -> None:
    """Bring the powers of beta in DeepSpeed's CPU Adam to where `steps` steps in a row would have brought them.

    It multiplies them up in fp32 step by step and, after a jump, takes `pow`, whose last bits differ. Steps on a single
    number cost microseconds and walk the same way.
    """
    group = optimizer.param_groups[0]
    betas = group["betas"]
    numbers = [torch.zeros(1) for _ in range(2 + len(MOMENTS))]
    for step in range(1, steps + 1):
        optimizer.ds_opt_adam.adam_update(
            optimizer.opt_id, step, 0.0, *betas, group["eps"], 0.0, group["bias_correction"], *numbers
        )
