"""Adds up the gradients of a step's micro-batches in fp32, where DeepSpeed would in the weights' bf16; torch.

With an optimizer in host memory, as it always is on CPU, DeepSpeed's ZeRO 1 and 2 keep the sum in the weights' own type
and so round it after every micro-batch. Here each weight keeps its sum, DeepSpeed is handed zeros, and with the last
micro-batch the whole of it, rounded once. It takes 4 bytes a weight.
"""

from collections.abc import Callable, Iterable

import torch


def accumulate_in_fp32(parameters: Iterable[torch.nn.Parameter], is_last: Callable[[], bool]) -> None:
    """Let these parameters hold back their gradients until the last micro-batch of a step.

    Args:
        parameters: whole ones, which are trained.
        is_last: asked in each backward pass whether its micro-batch is the step's last.
    """
    for parameter in parameters:
        parameter.register_hook(_Sum(parameter, is_last))  # type: ignore[no-untyped-call]


class _Sum:
    """A parameter's hook: takes the gradient of a micro-batch, and gives what goes on to DeepSpeed."""

    def __init__(self, parameter: torch.nn.Parameter, is_last: Callable[[], bool]) -> None:
        self.sum = torch.zeros_like(parameter, dtype=torch.float32)
        self.is_last = is_last

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        self.sum.add_(gradient)
        if not self.is_last():
            return torch.zeros_like(gradient)
        whole = self.sum.to(gradient.dtype)
        self.sum.zero_()
        return whole
