"""Attention over a row of tree-shaped segments, as transformers' attention interface; torch, CPU and GPU alike.

`SEGMENTED` is registered under its own name; a model built with `attn_implementation=SEGMENTED` hands queries, keys
and values of the whole row to `segmented_attention`, which attends once a segment over its ancestors and itself.
transformers builds no mask for a name it does not know, so everything that is masked is masked here.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from raylign.errors import ModelError
from raylign.train.packing import Segment

SEGMENTED = "raylign_segmented"
_SMALL_SCORES = 2**17
"""Scores a head, queries times keys, up to which plain products are faster than SDPA on CPU."""
_UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


def segmented_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: Sequence[Segment] = (),
    masks: Sequence[torch.Tensor | None] = (),
    **other: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each segment over its ancestors and its own past, without dropout.

    Args:
        query: [1, heads, T, head_dim]; key and value may have fewer heads (grouped-query attention).
        segments: the row's segments, which cover its T tokens in order.
        masks: what `segment_masks` made of them.

    Returns:
        The attended values, [1, T, heads, head_dim], and no weights.

    Raises:
        ModelError: the model asks for an attention variant that this function does not compute.
    """
    for name in _UNSUPPORTED:
        if other.get(name) is not None:
            raise ModelError(f"the model's attention uses {name}, which prompt sharing does not compute")
    lengths = [segment.length for segment in segments]
    queries, keys, values = (torch.split(tensor, lengths, dim=2) for tensor in (query, key, value))
    outputs = []
    for index, segment in enumerate(segments):
        path = (*segment.ancestors, index)
        seen = torch.cat([keys[at] for at in path], dim=2) if len(path) > 1 else keys[index]
        read = torch.cat([values[at] for at in path], dim=2) if len(path) > 1 else values[index]
        small = query.device.type == "cpu" and segment.length * seen.shape[2] <= _SMALL_SCORES
        attend = _attend_products if small else _attend_fused
        outputs.append(attend(queries[index], seen, read, masks[index], scaling))
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def _attend_fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """One segment through SDPA: [1, heads, L, head_dim] queries over [1, key heads, S, head_dim] keys."""
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

    On short segments this takes a third of its time, and the matrix of scores is small.
    """
    heads, length, size = query.shape[1:]
    groups, seen = key.shape[1:3]
    if mask is None:
        mask = torch.ones(length, seen, dtype=torch.bool, device=query.device).tril()
    grouped = query.reshape(groups, heads // groups * length, size) * (scaling if scaling is not None else size**-0.5)
    scores = torch.bmm(grouped, key[0].transpose(1, 2)).view(groups, -1, length, seen)
    weights = torch.softmax(scores.masked_fill_(~mask, float("-inf")), dim=-1)
    return torch.bmm(weights.view(groups, -1, seen), value[0]).view(1, heads, length, size)


def segment_masks(segments: Sequence[Segment], device: torch.device) -> list[torch.Tensor | None]:
    """What each segment may see: [length, ancestors + length] booleans, or None where plain causality says it.

    SDPA's own causal mask starts at the first key, so a segment with ancestors needs an explicit one.
    """
    masks: list[torch.Tensor | None] = []
    for segment in segments:
        before = sum(segments[index].length for index in segment.ancestors)
        whole = torch.ones(segment.length, before + segment.length, dtype=torch.bool, device=device)
        masks.append(whole.tril(diagonal=before) if before else None)
    return masks


AttentionInterface.register(SEGMENTED, segmented_attention)
