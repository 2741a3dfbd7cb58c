"""Sequence parallelism: a row of tokens cut into slices, one for each worker of a group (DeepSpeed Ulysses).

Norms, projections and log-probabilities look at one token at a time, so each worker takes its slice through them. Only
attention looks at others: there every worker gets the whole row, of its share of the heads, and hands it back in slices
(arXiv 2309.14509, section 3). All hold the same weights; what each one's slice adds to their gradient is its own, and
adds up over the group as it does over the others.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F

from raylign.errors import ModelError
from raylign.train.layout import Choice
from raylign.train.packing import Batch


class Slices:
    """This worker's place in a group that shares its rows; to be made by all workers together."""

    def __init__(self, count: int) -> None:
        """Groups of so many workers whose ranks follow one another."""
        self.count = count
        self.place = dist.get_rank() % count
        for first in range(0, dist.get_world_size(), count):
            group = dist.new_group(list(range(first, first + count)))  # every worker makes all of them
            if first <= dist.get_rank() < first + count:
                self.group = group

    def cut(self, batch: Batch) -> Batch:
        """What this worker takes of a batch."""
        return slice_of(batch, self.place, self.count)

    def attention(self, attend: Any) -> Any:
        """`attend`, over the whole row of a share of the heads, as attention over slices: [1, T ÷ count, heads, …]."""
        from deepspeed.sequence.layer import DistributedAttention

        return DistributedAttention(attend, self.group, scatter_idx=2, gather_idx=1)

    def add_up(self, sums: torch.Tensor) -> torch.Tensor:
        """Sums over the group, on every worker; to each one's gradient comes what its own slice has added."""
        added: torch.Tensor = _AddUp.apply(sums, self.group)  # type: ignore[no-untyped-call]
        return added


class _AddUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sums: torch.Tensor, group: Any) -> torch.Tensor:
        added = sums.clone()
        dist.all_reduce(added, group=group)
        return added

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        # Every worker has the same loss and goes back through its own slice: a sum here would count it many times.
        return gradients[0], None


def slice_of(batch: Batch, place: int, count: int) -> Batch:
    """One of `count` slices of the same length of a row of segments, filled up at its end with tokens that nothing
    looks at.

    Segments stay those of the whole row, which attention sees; completion tokens are those whose hidden state lies in
    the slice.
    """
    length = -(-batch.token_ids_RT.shape[1] // count)
    first = place * length
    inside_N = (batch.read_N >= first) & (batch.read_N < first + length)

    def cut(row_RT: torch.Tensor) -> torch.Tensor:
        return F.pad(row_RT, (0, length * count - row_RT.shape[1]))[:, first : first + length]

    return replace(
        batch,
        token_ids_RT=cut(batch.token_ids_RT),
        position_ids_RT=cut(batch.position_ids_RT),
        read_N=batch.read_N[inside_N] - first,
        target_N=batch.target_N[inside_N],
        answer_N=batch.answer_N[inside_N],
    )


def check_row(choice: Choice, count: int) -> None:
    """Raise a ModelError where answers of this model are padded: there is no row to slice."""
    if choice.layout == "padded":
        raise ModelError(
            f"train.sequence_parallel is {count}, and answers of this model each need a row: {choice.reason}",
            "set train.sequence_parallel=1",
        )


def check_heads(settings: Any, count: int) -> None:
    """Refuse a model, by its configuration, whose heads cannot be dealt to `count` workers.

    Raises:
        ModelError: it has too few of them, or they do not come out even.
    """
    text = settings.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or getattr(text, "num_attention_heads", None) or 0
    if heads % count:
        raise ModelError(
            f"train.sequence_parallel is {count}, and the model's attention has {heads} key-value heads",
            "it must divide them: each worker takes as many of them",
        )
