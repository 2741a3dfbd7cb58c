"""Matrix products of bf16 weights in fp32, for CPUs that are faster at those; torch.

A CPU without instructions for bf16 emulates its products, at a quarter of fp32's speed and with other roundings for
every size of a batch; and not all that have them are faster by them. A bf16 weight is an fp32 number too, so each
product takes its weights in fp32 as they are, for as long as it lasts. What is trained, kept and exported stays bf16
with its fp32 masters, as on a processor that multiplies bf16.
"""

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def widen(model: Any) -> bool:
    """Let all linear layers of a bf16 model compute in fp32, in place; False, and nothing changed, where one of its
    other layers does not take fp32 inputs beside its bf16 weights.

    Weights, names and hooks stay as they are.
    """
    layers: list[Any] = [
        layer for layer in model.modules() if type(layer) is nn.Linear and layer.weight.dtype == torch.bfloat16
    ]
    for layer in layers:
        layer.forward = MethodType(_wide, layer)
    if layers and _takes_fp32(model):
        return True
    for layer in layers:
        del layer.forward  # the class's own again
    return False


def is_wide(model: nn.Module) -> bool:
    """Whether `widen` has changed this model."""
    return any(getattr(layer.forward, "__func__", None) is _wide for layer in model.modules())


def _wide(self: Any, hidden: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = _WideProduct.apply(hidden.float(), self.weight)  # type: ignore[no-untyped-call]
    return product if self.bias is None else product + self.bias.float()


class _WideProduct(torch.autograd.Function):
    """hidden · weightᵀ in fp32, which keeps the weight as it is and widens it once more for the backward pass.

    Autograd would keep an fp32 copy of every weight until then, twice what the model itself takes.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight_OI: torch.Tensor) -> torch.Tensor:
        """The product [..., O] of fp32 hidden states [..., I]."""
        ctx.save_for_backward(hidden, weight_OI)
        return F.linear(hidden, weight_OI.float())

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Gradients of hidden states and weight, where they are asked for."""
        hidden, weight_OI = ctx.saved_tensors
        to_hidden = gradients[0] @ weight_OI.float() if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return to_hidden, None
        to_weight_OI = gradients[0].flatten(0, -2).t() @ hidden.flatten(0, -2)
        return to_hidden, to_weight_OI.to(weight_OI.dtype)


def _takes_fp32(model: Any) -> bool:
    width = model.get_input_embeddings().embedding_dim
    try:
        with torch.no_grad():
            states_RTD = model.base_model(inputs_embeds=torch.zeros(1, 2, width), use_cache=False).last_hidden_state
    except RuntimeError:  # such as a layer norm's: mixed types
        return False
    return bool(states_RTD.dtype == torch.float32)
