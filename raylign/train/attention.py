"""Attention over a row of tree-shaped segments, as transformers' attention interface; torch, CPU and GPU alike.

`SEGMENTED` is registered under its own name; a model built with `attn_implementation=SEGMENTED` hands queries, keys
and values of the whole row to `segmented_attention`, which attends once a run over its ancestors and itself. A run is
a segment, or a small one with all that is below it: a pair's prompt and answers mostly are one, in which a mask keeps
the answers apart. What that computes in vain is less than what many small products cost beside their arithmetic.
transformers builds no mask for a name it does not know, so everything that is masked is masked here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from raylign.errors import ModelError
from raylign.train.packing import Segment

SEGMENTED = "raylign_segmented"
_SMALL_SCORES = 2**17
"""Scores a head, queries times keys: up to here segments are taken together, and on CPU plain products beat SDPA."""
_UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


@dataclass(frozen=True)
class Run:
    """Neighbouring segments whose attention is computed at once."""

    length: int
    before: tuple[int, ...]
    """Runs that each of its tokens sees the whole of, nearest last."""
    mask: torch.Tensor | None
    """What they see, [length, length of `before` + length] booleans; None where plain causality says it."""


def attention_runs(segments: Sequence[Segment], device: torch.device) -> tuple[Run, ...]:
    """The runs of a row: each segment with all below it where that is small enough, from the root downwards."""
    runs: list[Run] = []
    run_of: dict[int, int] = {}
    first = 0
    while first < len(segments):
        before = sum(segments[index].length for index in segments[first].ancestors)
        last = first + 1
        while last < len(segments) and first in segments[last].ancestors:
            last += 1
        length = sum(segment.length for segment in segments[first:last])
        if length * (before + length) > _SMALL_SCORES:
            last, length = first + 1, segments[first].length
        # What lies above a run is never part of a larger one, which would hold this run too.
        above = tuple(run_of[index] for index in segments[first].ancestors)
        runs.append(Run(length, above, _mask(segments, range(first, last), before, device)))
        run_of[first] = len(runs) - 1
        first = last
    return tuple(runs)


def _mask(segments: Sequence[Segment], members: range, before: int, device: torch.device) -> torch.Tensor | None:
    """What the tokens of these segments see, after the `before` tokens that all of them see."""
    if len(members) == 1 and not before:
        return None  # SDPA's own causal mask starts at the first key, so with ancestors it would be wrong
    start = segments[members[0]].start - before
    sizes = [segments[index].length for index in members]
    sees = torch.zeros(sum(sizes), before + sum(sizes), dtype=torch.bool, device=device)
    sees[:, :before] = True
    for index in members:
        own = segments[index]
        rows = sees[own.start - start - before :][: own.length]
        for above in (segments[at] for at in own.ancestors if at in members):
            rows[:, above.start - start :][:, : above.length] = True
        block = rows[:, own.start - start :][:, : own.length]
        block.copy_(torch.ones_like(block).tril())
    return sees


def segmented_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    runs: Sequence[Run] = (),
    **other: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each segment over its ancestors and its own past, without dropout.

    Args:
        query: [1, heads, T, head_dim]; key and value may have fewer heads (grouped-query attention).
        runs: what `attention_runs` made of the row's segments, which cover its T tokens in order.

    Returns:
        The attended values, [1, T, heads, head_dim], and no weights.

    Raises:
        ModelError: the model asks for an attention variant that this function does not compute.
    """
    for name in _UNSUPPORTED:
        if other.get(name) is not None:
            raise ModelError(f"the model's attention uses {name}, which prompt sharing does not compute")
    lengths = [run.length for run in runs]
    queries, keys, values = (torch.split(tensor, lengths, dim=2) for tensor in (query, key, value))
    outputs = []
    for index, run in enumerate(runs):
        path = (*run.before, index)
        seen = torch.cat([keys[at] for at in path], dim=2) if len(path) > 1 else keys[index]
        read = torch.cat([values[at] for at in path], dim=2) if len(path) > 1 else values[index]
        small = query.device.type == "cpu" and run.length * seen.shape[2] <= _SMALL_SCORES
        attend = _attend_products if small else _attend_fused
        outputs.append(attend(queries[index], seen, read, run.mask, scaling))
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def _attend_fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """One run through SDPA: [1, heads, L, head_dim] queries over [1, key heads, S, head_dim] keys."""
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _attend_products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """The same by plain matrix products, the heads that share keys in one: SDPA's backward pass is slow on CPU.

    On short runs this takes a third of its time, and the matrix of scores is small.
    """
    heads, length, size = query.shape[1:]
    groups, seen = key.shape[1:3]
    if mask is None:
        mask = torch.ones(length, seen, dtype=torch.bool, device=query.device).tril()
    grouped = query.reshape(groups, heads // groups * length, size) * (scaling if scaling is not None else size**-0.5)
    scores = torch.bmm(grouped, key[0].transpose(1, 2)).view(groups, -1, length, seen)
    weights = torch.softmax(scores.masked_fill_(~mask, float("-inf")), dim=-1)
    return torch.bmm(weights.view(groups, -1, seen), value[0]).view(1, heads, length, size)


AttentionInterface.register(SEGMENTED, segmented_attention)
