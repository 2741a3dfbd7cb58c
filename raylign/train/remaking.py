"""Activations that are cheap to make again are not kept for the backward pass; torch.

For its weights' gradient a linear layer keeps its input. Behind a norm or a gated product that input is a few
element-wise operations away from what the norm or the product keeps itself. While `remaking` lasts, what is declared by
`can_remake` is let go and made again, with the same bits, when the backward pass asks for it: a third less memory for
activations, and no time that could be measured.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

Make = Callable[[], torch.Tensor]


class _Recipe:
    """Stands in autograd's graph for a tensor; what several layers ask for is made once."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.made: torch.Tensor | None = None  # until the last layer that asked for it has let this recipe go

    def __call__(self) -> torch.Tensor:
        if self.made is None:
            self.made = self.make()
        return self.made


_Known = dict[int, tuple[weakref.ref[torch.Tensor], _Recipe]]
"""Recipes by the address of the tensor's storage, which is another tensor's once the first one is gone."""
_known: ContextVar[_Known | None] = ContextVar("known", default=None)


def can_remake(tensor: torch.Tensor, make: Make) -> torch.Tensor:
    """Declare how to make a tensor again; returns the tensor.

    Args:
        make: gives the same values of the same type, in the shape of the tensor; it may be called after the forward
            pass, and holds on to what it needs.
    """
    if (known := _known.get()) is not None and tensor.requires_grad:
        address = tensor.untyped_storage().data_ptr()
        # A recipe that no layer took goes with its tensor: under activation checkpointing none is taken.
        known[address] = weakref.ref(tensor, lambda _: known.pop(address, None)), _Recipe(make)
    return tensor


@contextmanager
def remaking(wanted: bool = True) -> Iterator[None]:
    """For the length of a forward pass, keep recipes where there are any; where not wanted, nothing changes."""
    if not wanted:
        yield
        return
    known: _Known = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor | tuple[_Recipe, torch.Size]:
        found = known.get(tensor.untyped_storage().data_ptr())
        if found is None:
            return tensor
        original, recipe = found[0](), found[1]
        same = original is not None and original.numel() == tensor.numel() and tensor.is_contiguous()
        return (recipe, tensor.shape) if same else tensor

    def give(kept: torch.Tensor | tuple[_Recipe, torch.Size]) -> torch.Tensor:
        return kept if isinstance(kept, torch.Tensor) else kept[0]().view(kept[1])

    token = _known.set(known)
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, give):
            yield
    finally:
        _known.reset(token)
        known.clear()  # autograd holds on to the hooks, and through them to whatever a recipe needs
