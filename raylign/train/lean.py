"""RMS norms and gated layers that pass over memory less often and keep less of it for the backward pass; torch.

Written out operation by operation, as transformers has them, autograd keeps several copies of every activation, and
under autocast each linear layer behind a norm casts its input anew. A layer is replaced only where its replacement
gives what the layer itself gives, so that a model whose norm does something else keeps its own.
"""

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from raylign.train.precision import product_type
from raylign.train.remaking import can_remake


def make_lean(model: nn.Module) -> int:
    """Replace the forward passes of the model's norms and gated layers in place; returns how many.

    Weights, names and hooks stay as they are.
    """
    replaced = 0
    for module in model.modules():
        for fits, forward in ((_is_norm, _lean_norm), (_is_gated, _lean_gated)):
            if fits(module) and _same(module, forward):
                module.forward = MethodType(forward, module)
                replaced += 1
    return replaced


def _is_norm(module: nn.Module) -> bool:
    named = {name for name, _ in module.named_parameters()}
    return type(module).__name__.endswith("RMSNorm") and named == {"weight"} and hasattr(module, "variance_epsilon")


def _is_gated(module: Any) -> bool:
    named = {name for name, _ in module.named_children()}
    if named != {"gate_proj", "up_proj", "down_proj", "act_fn"} or not hasattr(module.gate_proj, "in_features"):
        return False
    # Near zero, where fresh weights keep it, GELU is hard to tell from SiLU by what comes out of the whole layer.
    asked = torch.linspace(-6.0, 6.0, 97)
    return torch.allclose(module.act_fn(asked), F.silu(asked))


def _same(module: Any, forward: Any) -> bool:
    """Whether a replacement gives what the module's own forward pass gives, but for rounding."""
    weight, width = (
        (module.weight, len(module.weight))
        if _is_norm(module)
        else (module.gate_proj.weight, module.gate_proj.in_features)
    )
    dtype = weight.dtype if weight.is_floating_point() else torch.bfloat16  # quantised weights are packed integers
    given = torch.randn(4, width, generator=torch.Generator().manual_seed(0)).to(weight.device, dtype)
    with torch.no_grad():
        expected, found = module(given).float(), forward(module, given).float()
    return bool((found - expected).norm() <= 1e-2 * expected.norm())


def _lean_norm(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    scale = _scale(hidden_states.detach(), self.variance_epsilon)
    normed: torch.Tensor = _RmsNorm.apply(hidden_states, self.weight, scale)  # type: ignore[no-untyped-call]
    known = hidden_states.detach(), self.weight.detach(), scale, normed.dtype
    return can_remake(normed, lambda: _normed(*known))


def _lean_gated(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    gate, up = self.gate_proj(hidden_states), self.up_proj(hidden_states)
    silu, known = _Silu(gate.detach()), up.detach()
    gated: torch.Tensor = _SiluProduct.apply(gate, up, silu)  # type: ignore[no-untyped-call]
    projected: torch.Tensor = self.down_proj(can_remake(gated, lambda: silu.made() * known))
    return projected


class _Silu:
    """silu(gate), which the backward pass needs twice: for the input of the layer behind and then for up's gradient."""

    def __init__(self, gate: torch.Tensor) -> None:
        self.gate = gate
        self.kept: torch.Tensor | None = None

    def made(self) -> torch.Tensor:
        """The activations, which stay until they are taken."""
        self.kept = F.silu(self.gate)
        return self.kept

    def taken(self) -> torch.Tensor:
        """The activations, the caller's own from now on."""
        kept, self.kept = self.kept, None
        return F.silu(self.gate) if kept is None else kept


def _scale(hidden_D: torch.Tensor, epsilon: float) -> torch.Tensor:
    """What each row is multiplied by: one over its root mean square, [..., 1] in fp32."""
    return torch.rsqrt(hidden_D.float().square().mean(-1, keepdim=True).add_(epsilon))


def _normed(hidden_D: torch.Tensor, weight_D: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return (hidden_D.float() * scale).mul_(weight_D).to(dtype)


class _RmsNorm(torch.autograd.Function):
    """Root mean square normalisation (arXiv 1910.07467, equation 4) in fp32, which keeps its input alone.

    Under autocast the result is of autocast's type already, which every product behind it would cast it to.
    """

    @staticmethod
    def forward(ctx: Any, hidden_D: torch.Tensor, weight_D: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """The normed hidden states [..., D]."""
        ctx.save_for_backward(hidden_D, weight_D, scale)
        return _normed(hidden_D, weight_D, scale, product_type(hidden_D))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Gradients of hidden states and weight."""
        hidden_D, weight_D, scale = ctx.saved_tensors
        gradient_D, normed_D = gradients[0].float(), hidden_D.float() * scale
        to_weight_D = (gradient_D * normed_D).flatten(0, -2).sum(0)
        weighted_D = gradient_D * weight_D
        along = (weighted_D * normed_D).mean(-1, keepdim=True)
        to_hidden_D = weighted_D.sub_(normed_D.mul_(along)).mul_(scale)
        return to_hidden_D.to(hidden_D.dtype), to_weight_D.to(weight_D.dtype), None


class _SiluProduct(torch.autograd.Function):
    """silu(gate) · up (arXiv 2002.05202, equation 6), which keeps gate and up and makes silu(gate) again."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor, silu: _Silu) -> torch.Tensor:
        """The gated activations, of the shape of both."""
        ctx.save_for_backward(gate, up)
        ctx.silu = silu
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Gradients of gate and up."""
        gate, up = ctx.saved_tensors
        to_gate = torch.ops.aten.silu_backward(gradients[0] * up, gate)
        return to_gate, ctx.silu.taken().mul_(gradients[0]), None
