"""Matrix products of bf16 weights in fp32, for CPUs that are faster at those; torch.

A CPU without instructions for bf16 emulates its products, at a quarter of fp32's speed and with other roundings for
every size of a batch; some that have the instructions (avx512_bf16 without amx_bf16) do half as many of them as of
fp32's. A bf16 weight is an fp32 number too, so each product takes its weights in fp32 as they are, for as long as it
lasts. What is trained, kept and exported stays bf16 with its fp32 masters, as on a processor that multiplies bf16.
"""

import time
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from raylign.arithmetic import fast_type

_TRIALS = 5
_ROWS, _WIDTH = 1024, 1024
"""Of the product that is timed, some 10 ms on two cores: as many rows as a batch has tokens."""
_GAIN = 1.2
"""How many times as fast products in fp32 must be: they keep 4 bytes more a weight for the backward pass."""


def fast_products(gpus: int) -> str:
    """What bf16 weights are multiplied in faster, `bf16` or `fp32`.

    On a CPU that has instructions for bf16 it is measured, in a tenth of a second: the best of some products of either
    kind by turns, an fp32 one with what it takes to widen its operands.

    Args:
        gpus: GPUs that compute; 0 where this host's CPU does.
    """
    if gpus or fast_type(0) == "fp32":
        return fast_type(gpus)
    layer = nn.Linear(_WIDTH, _WIDTH, bias=False, dtype=torch.bfloat16)
    hidden = torch.ones(_ROWS, _WIDTH, dtype=torch.bfloat16)
    with torch.no_grad():
        trials = [(_seconds(layer.forward, hidden), _seconds(_wide, layer, hidden)) for _ in range(_TRIALS)]
    bf16, fp32 = (min(found) for found in zip(*trials, strict=True))
    return "fp32" if fp32 * _GAIN < bf16 else "bf16"


def _seconds(product: Any, *operands: Any) -> float:
    started = time.perf_counter()
    product(*operands)
    return time.perf_counter() - started


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
    bias = None if self.bias is None else self.bias.float()
    return F.linear(hidden.float(), self.weight.float(), bias)


def _takes_fp32(model: Any) -> bool:
    width = model.get_input_embeddings().embedding_dim
    try:
        with torch.no_grad():
            states_RTD = model.base_model(inputs_embeds=torch.zeros(1, 2, width), use_cache=False).last_hidden_state
    except RuntimeError:  # such as a layer norm's: mixed types
        return False
    return bool(states_RTD.dtype == torch.float32)
