"""Attention of small groups by plain matrix products, with a backward pass of its own; torch, meant for CPU.

SDPA's backward pass is slow on CPU, and autograd's own would keep every matrix of attention weights. Here they are
computed again in the backward pass, and the heads that share keys are in one product.

Operands and results are of the type that autocast says, what is between them is fp32. Where most of a head's attention
goes to one token, as it often goes to the first, that weight rounded to bf16 puts all it brings off by the same share,
and the gradients of a whole model by a tenth or a fifth more than SDPA does, which rounds weights whose largest is 1.
SDPA itself sums in another order for every size of a group, and in bf16 an answer's log-probability would move by a nat
with its neighbours.
"""

from collections.abc import Sequence
from typing import Any

import torch

from raylign.train.attention_plan import Group, gather
from raylign.train.precision import product_type


def grouped_products(
    query_THD: torch.Tensor, key_TKD: torch.Tensor, value_TKD: torch.Tensor, scale: float, groups: Sequence[Group]
) -> torch.Tensor:
    """Attended values of the groups' tokens, one group after another: [M, heads, head_dim].

    Args:
        query_THD: queries of the row's T tokens; keys and values may have fewer heads (grouped-query attention).
        groups: small ones, each with a bias.
    """
    attended_MHD: torch.Tensor = _Products.apply(query_THD, key_TKD, value_TKD, scale, groups)  # type: ignore[no-untyped-call]
    return attended_MHD


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query_THD: torch.Tensor,
        key_TKD: torch.Tensor,
        value_TKD: torch.Tensor,
        scale: float,
        groups: Sequence[Group],
    ) -> torch.Tensor:
        ctx.types = [tensor.dtype for tensor in (query_THD, key_TKD, value_TKD)]
        ctx.groups, ctx.scale = groups, scale
        dtype = product_type(query_THD)
        row = query_THD.to(dtype), key_TKD.to(dtype), value_TKD.to(dtype)
        ctx.save_for_backward(*row)
        with torch.autocast("cpu", enabled=False):  # it would take the fp32 operands for bf16 ones
            return torch.cat([_attend(*row, scale, group) for group in groups])

    @staticmethod
    def backward(ctx: Any, gradient_MHD: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query_THD, key_TKD, value_TKD = ctx.saved_tensors
        to_query, to_key, to_value = (
            torch.zeros(tensor.shape, dtype=torch.float32) for tensor in (query_THD, key_TKD, value_TKD)
        )
        parts_MHD = torch.split(gradient_MHD, [len(group.kept_M) for group in ctx.groups])
        for group, part_MHD in zip(ctx.groups, parts_MHD, strict=True):
            of_query_MHD, *of_segments = _gradients(query_THD, key_TKD, value_TKD, part_MHD, ctx.scale, group)
            to_query.index_copy_(0, group.token_M, of_query_MHD)
            for sums, of_segments_GSKD in zip((to_key, to_value), of_segments, strict=True):
                sums.index_add_(0, group.key_GS.flatten(), of_segments_GSKD.flatten(0, 1))
        whole = zip((to_query.mul_(ctx.scale), to_key, to_value), ctx.types, strict=True)
        return *(tensor.to(dtype) for tensor, dtype in whole), None, None


def _attend(
    query_THD: torch.Tensor, key_TKD: torch.Tensor, value_TKD: torch.Tensor, scale: float, group: Group
) -> torch.Tensor:
    """Attended values of one group: [M, heads, head_dim]."""
    query, key, value = _operands(query_THD, key_TKD, value_TKD, scale, group)
    attended = torch.bmm(_weights(query, key, group), value).to(query_THD.dtype)
    return _drop_padding(attended, query_THD.shape[1], group)


def _gradients(
    query_THD: torch.Tensor,
    key_TKD: torch.Tensor,
    value_TKD: torch.Tensor,
    gradient_MHD: torch.Tensor,
    scale: float,
    group: Group,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of one group's scaled queries [M, heads, head_dim], and of its keys and values [G, S, key heads,
    head_dim].
    """
    heads = key_TKD.shape[1]
    query, key, value = _operands(query_THD, key_TKD, value_TKD, scale, group)
    weights = _weights(query, key, group)
    gradient = _by_key_head(_pad(gradient_MHD, group), heads).float()
    of_value = torch.bmm(weights.transpose(1, 2), gradient)
    # Softmax: what comes back to a score is weight · (gradient − the row's mean gradient under its weights).
    weighted = torch.bmm(gradient, value.transpose(1, 2)).mul_(weights)
    scores = weighted.sub_(weights.mul_(weighted.sum(dim=-1, keepdim=True)))
    of_query = _drop_padding(torch.bmm(scores, key), query_THD.shape[1], group)
    of_key = torch.bmm(scores.transpose(1, 2), query)
    return of_query, _by_segment(of_key, heads), _by_segment(of_value, heads)


def _operands(
    query_THD: torch.Tensor, key_TKD: torch.Tensor, value_TKD: torch.Tensor, scale: float, group: Group
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A group's scaled queries, keys and values in fp32, each with G · key heads in front."""
    gathered = gather(query_THD, key_TKD, value_TKD, group)
    query, key, value = (_by_key_head(tensor, key_TKD.shape[1]).float() for tensor in gathered)
    return query * scale, key, value


def _weights(query: torch.Tensor, key: torch.Tensor, group: Group) -> torch.Tensor:
    """Attention weights of a group's operands."""
    assert group.bias_GLS is not None  # a small group has one
    count, length, seen = group.bias_GLS.shape
    scores = torch.bmm(query, key.transpose(1, 2))
    scores.view(count, -1, length, seen).add_(group.bias_GLS[:, None])
    return torch.softmax(scores, dim=-1)


def _by_key_head(tensor_GLHD: torch.Tensor, key_heads: int) -> torch.Tensor:
    """[G · key heads, heads a key head · L, head_dim]: the heads that share keys one after another."""
    count, length, heads, size = tensor_GLHD.shape
    grouped = tensor_GLHD.view(count, length, key_heads, heads // key_heads, size).permute(0, 2, 3, 1, 4)
    return grouped.reshape(count * key_heads, heads // key_heads * length, size)


def _by_segment(tensor: torch.Tensor, key_heads: int) -> torch.Tensor:
    """[G, S, key heads, head_dim] from G · key heads in front."""
    return tensor.view(-1, key_heads, *tensor.shape[1:]).transpose(1, 2)


def _pad(tensor_MHD: torch.Tensor, group: Group) -> torch.Tensor:
    """[G, L, heads, head_dim] with zeros for padded queries."""
    whole = tensor_MHD.new_zeros(group.query_GL.numel(), *tensor_MHD.shape[1:])
    return whole.index_copy_(0, group.kept_M, tensor_MHD).view(*group.query_GL.shape, *tensor_MHD.shape[1:])


def _drop_padding(grouped: torch.Tensor, heads: int, group: Group) -> torch.Tensor:
    """The inverse of `_by_key_head` for the real queries: [M, heads, head_dim]."""
    count, length = group.query_GL.shape
    attended_GHLD = grouped.view(count, heads, length, -1)
    return attended_GHLD.transpose(1, 2).flatten(0, 1).index_select(0, group.kept_M)
