"""Attention over a row of tree-shaped segments, as transformers' attention interface; torch, CPU and GPU alike.

`SEGMENTED` is registered under its own name; a model built with `attn_implementation=SEGMENTED` hands queries, keys
and values of the whole row to `segmented_attention`, which attends from each segment to its ancestors and itself:
segments of about the same size in one product or, on GPUs, the whole row through FlexAttention. transformers builds no
mask for a name it does not know, so everything that is masked is masked here.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface
from transformers.integrations.flex_attention import flex_attention_forward

from raylign.errors import ModelError
from raylign.train.attention_plan import PRODUCTS_ON, AttentionPlan, Group, gather
from raylign.train.attention_products import grouped_products
from raylign.train.precision import product_type
from raylign.train.ulysses import Slices

SEGMENTED = "raylign_segmented"
_UNSUPPORTED = ("softcap", "s_aux", "position_bias")


def segmented_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    plan: AttentionPlan | None = None,
    slices: Slices | None = None,
    sliding_window: int | None = None,
    **other: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each segment over its ancestors and its own past, without dropout.

    Args:
        query: [1, heads, T, head_dim]; key and value may have fewer heads (grouped-query attention).
        plan: what `plan_attention` made of the row's segments, which cover its T tokens; needed.
        slices: set where this worker has a slice of the row alone.
        sliding_window: how many tokens each may see, itself among them. It must hold the row's longest sequence, and
            then changes nothing.

    Returns:
        The attended values, [1, T, heads, head_dim], and no weights.

    Raises:
        ModelError: the model asks for an attention variant that this function does not compute.
    """
    for name in _UNSUPPORTED:
        if other.get(name) is not None:
            raise ModelError(
                f"the model's attention uses {name}, which attention over a row of segments does not compute"
            )
    if attention_mask is not None:
        raise ModelError(
            "the model masks its attention itself, which attention over a row of segments does not compute"
        )
    assert plan is not None
    if sliding_window is not None and sliding_window < plan.longest:
        raise ModelError(
            f"the model's attention has a sliding window of {sliding_window} tokens, and a sequence has {plan.longest}",
            f"set train.max_length={sliding_window}",
        )
    rows = tuple(tensor.transpose(1, 2) for tensor in (query, key, value))
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    attend = partial(_attend, plan=plan, scale=scale, module=module)
    return (attend(*rows) if slices is None else slices.attention(attend)(*rows, batch_dim_idx=0)), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: AttentionPlan,
    scale: float,
    module: torch.nn.Module,
) -> torch.Tensor:
    """A whole row, [1, T, heads, head_dim]; behind what the plan covers it may be filled up, and gives zeros there."""
    filled = query.shape[1]
    query_THD, key_TKD, value_TKD = (tensor[0, : plan.tokens] for tensor in (query, key, value))
    if plan.blocks is None:
        attended_THD = _attend_groups(query_THD, key_TKD, value_TKD, plan, scale)
    else:
        attended_THD = _attend_blocks(query_THD, key_TKD, value_TKD, plan.blocks, scale, module)
    return F.pad(attended_THD, (0, 0, 0, 0, 0, filled - plan.tokens))[None]


def _attend_groups(
    query_THD: torch.Tensor, key_TKD: torch.Tensor, value_TKD: torch.Tensor, plan: AttentionPlan, scale: float
) -> torch.Tensor:
    """All groups, [T, heads, head_dim]."""
    by_products = [group for group in plan.groups if group.small and query_THD.device.type in PRODUCTS_ON]
    outputs = [_attend_fused(query_THD, key_TKD, value_TKD, scale, group) for group in plan.groups[len(by_products) :]]
    if by_products:
        outputs.insert(0, grouped_products(query_THD, key_TKD, value_TKD, scale, by_products))
    return torch.cat(outputs).index_select(0, plan.place_T)


def _attend_blocks(
    query_THD: torch.Tensor,
    key_TKD: torch.Tensor,
    value_TKD: torch.Tensor,
    blocks: BlockMask,
    scale: float,
    module: torch.nn.Module,
) -> torch.Tensor:
    """The row as it lies through FlexAttention, which transformers compiles once: [T, heads, head_dim]."""
    dtype = product_type(query_THD)
    rows = (tensor.to(dtype).transpose(0, 1)[None] for tensor in (query_THD, key_TKD, value_TKD))
    attended: torch.Tensor = flex_attention_forward(module, *rows, blocks, scaling=scale)[0]
    return attended[0]


def _attend_fused(
    query_THD: torch.Tensor, key_TKD: torch.Tensor, value_TKD: torch.Tensor, scale: float, group: Group
) -> torch.Tensor:
    """One group through SDPA: [M, heads, head_dim]."""
    query_GLHD, key_GSKD, value_GSKD = gather(query_THD, key_TKD, value_TKD, group)
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


AttentionInterface.register(SEGMENTED, segmented_attention)
