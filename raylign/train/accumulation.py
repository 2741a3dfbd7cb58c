"""Adds up the gradients of a step's micro-batches in fp32, where DeepSpeed would in the weights' bf16; torch.

With an optimizer in host memory, as it always is on CPU, DeepSpeed's ZeRO 1 and 2 keep the sum in the weights' own type
and so round it after every micro-batch. Here each weight keeps its sum, DeepSpeed is handed zeros, and with the last
micro-batch the whole of it, rounded once. It takes 4 bytes a weight.
"""

from collections.abc import Callable, Mapping

import torch


class Accumulation:
    """Lets parameters hold back their gradients until the last micro-batch of a step."""

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], is_last: Callable[[], bool]) -> None:
        """Begin to hold back.

        Args:
            parameters: whole ones, which are trained, by name.
            is_last: asked in each backward pass whether its micro-batch is the step's last.
        """
        self.sums = {name: _Sum(parameter, is_last) for name, parameter in parameters.items()}

    def left_behind(self) -> list[str]:
        """Names of those that an earlier micro-batch of the step has a gradient for, and the last one has none.

        A weight that a micro-batch does not pass through, such as an expert's, hands nothing on with it.
        """
        return [name for name, held in self.sums.items() if held.unsent]


class _Sum:
    """A parameter's hook: takes the gradient of a micro-batch, and gives what goes on to DeepSpeed."""

    def __init__(self, parameter: torch.nn.Parameter, is_last: Callable[[], bool]) -> None:
        self.sum = torch.zeros_like(parameter, dtype=torch.float32)
        self.is_last, self.unsent = is_last, False
        parameter.register_hook(self)  # type: ignore[no-untyped-call]

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        self.sum.add_(gradient)
        self.unsent = not self.is_last()
        if self.unsent:
            return torch.zeros_like(gradient)
        whole = self.sum.to(gradient.dtype)
        self.sum.zero_()
        return whole
