"""Products of bf16 matrices as processors with instructions for them make them, on one that has none; torch.

Such instructions add up in fp32 and round once. torch's own way without them is up to a hundred times slower, so that
neither the numbers nor the memory of bf16 could be looked at. Here operands go to fp32 a block at a time, which takes
no more than some hundred MB beside what the product itself needs. It tells nothing of speed.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from raylign.arithmetic import fast_type

_BLOCK_NUMBERS = 2**23
"""Numbers of a block in fp32: 32 MiB."""
_PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.baddbmm}


def made_here() -> bool:
    """Whether this processor has no instructions for bf16, so that `bf16_products` makes them in fp32."""
    return fast_type(0) != "bf16"


def bf16_products(wanted: bool) -> AbstractContextManager[Any]:
    """For the length of a block, make products of bf16 matrices this way where that is wanted and needed."""
    return _InFp32() if wanted and made_here() else nullcontext()


class _InFp32(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket not in _PRODUCTS or args[-1].dtype != torch.bfloat16:
            return func(*args, **kwargs)
        *added, left, right = args
        out = kwargs.pop("out", None)
        if out is None:
            out = left.new_empty(*left.shape[:-1], right.shape[-1])
        _by_blocks(partial(func.overloadpacket.default, **kwargs), added, left, right, out)
        return out


def _by_blocks(
    product: Callable[..., torch.Tensor],
    added: Sequence[torch.Tensor],
    left: torch.Tensor,
    right: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Write a product to `out`, the larger operand a block of its rows or columns at a time."""
    by_rows = left.numel() >= right.numel()
    whole = (right if by_rows else left).float()
    side = -2 if by_rows else -1
    size = max(1, _BLOCK_NUMBERS // left.shape[-1])
    for first in range(0, out.shape[side], size):
        length = min(size, out.shape[side] - first)
        block = (left if by_rows else right).narrow(side, first, length).float()
        terms = [made.expand(out.shape).narrow(side, first, length).float() for made in added]
        operands = (block, whole) if by_rows else (whole, block)
        out.narrow(side, first, length).copy_(product(*terms, *operands))
