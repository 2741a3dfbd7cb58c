"""Attention over a row of tree-shaped segments, as transformers' attention interface; torch, CPU and GPU alike.

`SEGMENTED` is registered under its own name; a model built with `attn_implementation=SEGMENTED` hands queries, keys
and values of the whole row to `segmented_attention`, which attends from each segment to its ancestors and itself,
segments of about the same size in one product. transformers builds no mask for a name it does not know, so everything
that is masked is masked here.
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
"""Scores a head, queries times keys, up to which plain products are faster than SDPA on CPU."""
_PRODUCTS_ON = ("cpu",)
"""Kinds of devices where they are."""
_MOST_PADDING = 1.3
"""Scores of a group, padded, over those of its segments: what fewer and larger products are worth."""
_UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


@dataclass(frozen=True)
class Group:
    """G segments attended together, padded to L queries and S keys; indices are the row's own."""

    query_GL: torch.Tensor
    """Index of each query; a padded one has any, and sees the first key alone."""
    key_GS: torch.Tensor
    """Index of each key; a padded one has any."""
    kept_M: torch.Tensor
    """Which of the G·L queries are real."""
    token_M: torch.Tensor
    """Their indices."""
    bias_GLS: torch.Tensor | None
    """−∞ where a query must not see a key, 0 elsewhere; adding it is several times faster than filling by a mask. None
    for a large segment without ancestors: SDPA's own causal mask fits, and one of 32K tokens would take gigabytes."""
    small: bool
    """Whether its scores are few enough for plain products on CPU."""


@dataclass(frozen=True)
class AttentionPlan:
    """How a row's segments are attended: those that plain products take first."""

    groups: tuple[Group, ...]
    place_T: torch.Tensor
    """Where the groups' outputs, one after another, hold each token of the row."""


def plan_attention(segments: Sequence[Segment], device: torch.device, dtype: torch.dtype) -> AttentionPlan:
    """Put segments of about the same size into groups; made once a batch, for all layers.

    Args:
        dtype: the type that scores will have.
    """
    seen = [segment.length + sum(segments[at].length for at in segment.ancestors) for segment in segments]
    groups = [_group(segments, members, seen, device, dtype) for members in _similar(segments, seen)]
    groups.sort(key=lambda group: not group.small)
    place_T = torch.cat([group.token_M for group in groups]).argsort()
    return AttentionPlan(tuple(groups), place_T)


def _similar(segments: Sequence[Segment], seen: Sequence[int]) -> list[list[int]]:
    """Indices of segments, in groups whose padding is worth it; one too large for plain products stays alone."""
    order = sorted(range(len(segments)), key=lambda at: (-segments[at].length, -seen[at]))
    groups: list[list[int]] = []
    for at in order:
        if groups and _worth_padding(segments, [*groups[-1], at], seen):
            groups[-1].append(at)
        else:
            groups.append([at])
    return groups


def _worth_padding(segments: Sequence[Segment], members: Sequence[int], seen: Sequence[int]) -> bool:
    longest, most = max(segments[at].length for at in members), max(seen[at] for at in members)
    real = sum(segments[at].length * seen[at] for at in members)
    return longest * most <= _SMALL_SCORES and len(members) * longest * most <= _MOST_PADDING * real


def _group(
    segments: Sequence[Segment], members: Sequence[int], seen: Sequence[int], device: torch.device, dtype: torch.dtype
) -> Group:
    longest, most = max(segments[at].length for at in members), max(seen[at] for at in members)
    small = longest * most <= _SMALL_SCORES
    query_GL = torch.zeros(len(members), longest, dtype=torch.long)
    key_GS = torch.zeros(len(members), most, dtype=torch.long)
    kept_GL = torch.zeros(len(members), longest, dtype=torch.bool)
    for row, at in enumerate(members):
        own = _tokens(segments[at])
        query_GL[row, : len(own)] = own
        key_GS[row, : seen[at]] = torch.cat([*(_tokens(segments[above]) for above in segments[at].ancestors), own])
        kept_GL[row, : len(own)] = True
    kept_M = kept_GL.flatten().nonzero().squeeze(1)
    token_M = query_GL.flatten()[kept_M]
    bias_GLS = None
    if small or longest != most:
        bias_GLS = torch.full((len(members), longest, most), float("-inf"), dtype=dtype, device=device)
        bias_GLS[:, :, 0] = 0.0  # so that a padded query has something to see
        for row, at in enumerate(members):
            bias_GLS[row, : segments[at].length, : seen[at]].triu_(diagonal=1 + seen[at] - segments[at].length)
    return Group(
        query_GL.to(device), key_GS.to(device), kept_M.to(device), token_M.to(device), bias_GLS=bias_GLS, small=small
    )


def _tokens(segment: Segment) -> torch.Tensor:
    return torch.arange(segment.start, segment.start + segment.length)


def segmented_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    plan: AttentionPlan | None = None,
    **other: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each segment over its ancestors and its own past, without dropout.

    Args:
        query: [1, heads, T, head_dim]; key and value may have fewer heads (grouped-query attention).
        plan: what `plan_attention` made of the row's segments, which cover its T tokens; needed.

    Returns:
        The attended values, [1, T, heads, head_dim], and no weights.

    Raises:
        ModelError: the model asks for an attention variant that this function does not compute.
    """
    for name in _UNSUPPORTED:
        if other.get(name) is not None:
            raise ModelError(f"the model's attention uses {name}, which prompt sharing does not compute")
    assert plan is not None
    query_THD, key_TKD, value_TKD = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    by_products = [group for group in plan.groups if group.small and query.device.type in _PRODUCTS_ON]
    outputs = [_attend_fused(query_THD, key_TKD, value_TKD, scale, group) for group in plan.groups[len(by_products) :]]
    if by_products:
        outputs.insert(0, _Products.apply(query_THD, key_TKD, value_TKD, scale, by_products))  # type: ignore[no-untyped-call]
    return torch.cat(outputs).index_select(0, plan.place_T)[None], None


def _attend_fused(
    query_THD: torch.Tensor, key_TKD: torch.Tensor, value_TKD: torch.Tensor, scale: float, group: Group
) -> torch.Tensor:
    """One group through SDPA: [M, heads, head_dim]."""
    query_GLHD, key_GSKD, value_GSKD = _gather(query_THD, key_TKD, value_TKD, group)
    attended_GHLD = F.scaled_dot_product_attention(
        query_GLHD.transpose(1, 2),
        key_GSKD.transpose(1, 2),
        value_GSKD.transpose(1, 2),
        attn_mask=None if group.bias_GLS is None else group.bias_GLS[:, None],
        is_causal=group.bias_GLS is None,
        scale=scale,
        enable_gqa=query_THD.shape[1] != key_TKD.shape[1],
    )
    return attended_GHLD.transpose(1, 2).flatten(0, 1).index_select(0, group.kept_M)


class _Products(torch.autograd.Function):
    """Attention of groups by plain matrix products, the heads that share keys in one, weights computed again backward.

    SDPA's backward pass is slow on CPU, and autograd's own would keep every matrix of weights. Products are of the type
    that autocast says, weights and sums over segments in fp32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query_THD: torch.Tensor,
        key_TKD: torch.Tensor,
        value_TKD: torch.Tensor,
        scale: float,
        groups: Sequence[Group],
    ) -> torch.Tensor:
        """Attended values of the groups' tokens, one group after another: [M, heads, head_dim]."""
        ctx.types = [tensor.dtype for tensor in (query_THD, key_TKD, value_TKD)]
        ctx.groups, ctx.scale = groups, scale
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query_THD.dtype
        query_THD, key_TKD, value_TKD = (query_THD * scale).to(dtype), key_TKD.to(dtype), value_TKD.to(dtype)
        ctx.save_for_backward(query_THD, key_TKD, value_TKD)
        return torch.cat(
            [
                _drop_padding(torch.bmm(weights.to(dtype), value), query_THD.shape, group)
                for group in groups
                for weights, _, _, value in [_weights(query_THD, key_TKD, value_TKD, group)]
            ]
        )

    @staticmethod
    def backward(ctx: Any, gradient_MHD: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of queries, keys and values."""
        query_THD, key_TKD, value_TKD = ctx.saved_tensors
        dtype, heads = query_THD.dtype, key_TKD.shape[1]
        found = [torch.zeros(tensor.shape, dtype=torch.float32) for tensor in (query_THD, key_TKD, value_TKD)]
        parts = torch.split(gradient_MHD.to(dtype), [len(group.kept_M) for group in ctx.groups])
        for group, part in zip(ctx.groups, parts, strict=True):
            weights, query, key, value = _weights(query_THD, key_TKD, value_TKD, group)
            padded = part.new_zeros(group.query_GL.numel(), *part.shape[1:]).index_copy_(0, group.kept_M, part)
            gradient = _by_key_head(padded.view(*group.query_GL.shape, *part.shape[1:]), heads)
            rounded = weights.to(dtype)
            to_value = torch.bmm(rounded.transpose(1, 2), gradient)
            scores = torch.bmm(gradient, value.transpose(1, 2)).float().mul_(weights)
            scores = scores.sub_(weights.mul_(scores.sum(dim=-1, keepdim=True))).to(dtype)
            to_query = _drop_padding(torch.bmm(scores, key), query_THD.shape, group)
            found[0].index_copy_(0, group.token_M, to_query.float())
            for sums, to_key in ((found[1], torch.bmm(scores.transpose(1, 2), query)), (found[2], to_value)):
                to_key_GSKD = to_key.view(len(group.key_GS), heads, *to_key.shape[1:]).transpose(1, 2)
                sums.index_add_(0, group.key_GS.flatten(), to_key_GSKD.flatten(0, 1).float())
        found[0].mul_(ctx.scale)
        return *(sums.to(dtype) for sums, dtype in zip(found, ctx.types, strict=True)), None, None


def _weights(
    query_THD: torch.Tensor, key_TKD: torch.Tensor, value_TKD: torch.Tensor, group: Group
) -> tuple[torch.Tensor, ...]:
    """Attention weights in fp32 and what they are made of, each with G · key heads in front."""
    heads = key_TKD.shape[1]
    query, key, value = (_by_key_head(tensor, heads) for tensor in _gather(query_THD, key_TKD, value_TKD, group))
    scores = torch.bmm(query, key.transpose(1, 2))
    assert group.bias_GLS is not None  # a small group has one
    scores.view(len(scores) // heads, -1, *group.bias_GLS.shape[1:]).add_(group.bias_GLS[:, None])
    return torch.softmax(scores, dim=-1, dtype=torch.float32), query, key, value


def _gather(
    query_THD: torch.Tensor, key_TKD: torch.Tensor, value_TKD: torch.Tensor, group: Group
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A group's queries [G, L, heads, head_dim], and its keys and values [G, S, key heads, head_dim]."""

    def take(tensor: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return tensor.index_select(0, index.flatten()).view(*index.shape, *tensor.shape[1:])

    return take(query_THD, group.query_GL), take(key_TKD, group.key_GS), take(value_TKD, group.key_GS)


def _by_key_head(tensor_GLHD: torch.Tensor, key_heads: int) -> torch.Tensor:
    """[G · key heads, heads a key head · L, head_dim]: the heads that share keys one after another."""
    count, length, heads, size = tensor_GLHD.shape
    grouped = tensor_GLHD.view(count, length, key_heads, heads // key_heads, size).permute(0, 2, 3, 1, 4)
    return grouped.reshape(count * key_heads, heads // key_heads * length, size)


def _drop_padding(grouped: torch.Tensor, shape: torch.Size, group: Group) -> torch.Tensor:
    """The inverse of `_by_key_head` for the real queries: [M, heads, head_dim]."""
    count, length = group.query_GL.shape
    attended_GHLD = grouped.view(count, shape[1], length, shape[2])
    return attended_GHLD.transpose(1, 2).flatten(0, 1).index_select(0, group.kept_M)


AttentionInterface.register(SEGMENTED, segmented_attention)
