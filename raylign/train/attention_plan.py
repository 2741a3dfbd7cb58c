"""Which segments of a row are attended together, and what each query sees; pure torch, made once a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import torch
from torch.nn.attention.flex_attention import BlockMask

from raylign.train.attention_blocks import block_mask
from raylign.train.packing import Segment

PRODUCTS_ON = ("cpu",)
"""Kinds of devices where plain products are faster than SDPA on small groups."""
SMALL_SCORES = 2**17
"""Scores a head, queries times keys, up to which plain products are faster than SDPA on CPU."""
MOST_PADDING = 1.3
"""Scores of a group, padded, over those of its segments: what fewer and larger products are worth."""
MOST_QUERIES = 128
"""Queries that plain products take of a segment at a time, each part with the tokens before it as keys: of a whole
segment's scores over its own tokens half would be masked."""
LARGEST_BIAS = 2**27
"""Scores a head of which there may be a bias, a quarter of a GiB in bf16. A larger segment's ancestors take part as
queries whose values nobody wants: it is then a plain causal product, which needs none."""


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
    where queries and keys are the same tokens, one after another: SDPA's own causal mask fits."""
    small: bool
    """Whether its scores are few enough for plain products on CPU."""


@dataclass(frozen=True)
class AttentionPlan:
    """How a row's segments are attended: in groups, those that plain products take first, or in blocks of the row."""

    tokens: int
    """Of the row, T."""
    longest: int
    """Most tokens that one of them sees, itself among them: the longest sequence of the row."""
    groups: tuple[Group, ...]
    place_T: torch.Tensor
    """Where the groups' outputs, one after another, hold each token of the row."""
    blocks: BlockMask | None = None
    """For FlexAttention, which takes the row as it lies; there are no groups then."""


def plan_attention(
    segments: Sequence[Segment], device: torch.device, dtype: torch.dtype, flex: bool = False
) -> AttentionPlan:
    """Put segments of about the same size into groups; made once a batch, for all layers.

    Args:
        dtype: the type that scores will have.
        flex: plan for FlexAttention.
    """
    tokens = sum(segment.length for segment in segments)
    if flex:
        blocks = block_mask(segments, device)
        return AttentionPlan(tokens, max(_seen(segments)), (), torch.arange(tokens, device=device), blocks)
    if device.type in PRODUCTS_ON:
        segments = _cut(segments)
    seen = _seen(segments)
    groups = [_group(segments, members, seen, device, dtype) for members in _similar(segments, seen)]
    groups.sort(key=lambda group: not group.small)
    place_T = torch.cat([group.token_M for group in groups]).argsort()
    return AttentionPlan(tokens, max(seen), tuple(groups), place_T)


def _seen(segments: Sequence[Segment]) -> list[int]:
    """How many tokens the last one of each segment sees, itself among them."""
    return [segment.length + sum(segments[at].length for at in segment.ancestors) for segment in segments]


def _cut(segments: Sequence[Segment]) -> list[Segment]:
    """The same tokens in segments of at most MOST_QUERIES, each one an ancestor of the next; those stay whole of which
    even such a part is too much for plain products.
    """
    parts: list[Segment] = []
    parts_of: list[tuple[int, ...]] = []  # of each segment given
    for segment, seen in zip(segments, _seen(segments), strict=True):
        ancestors = tuple(part for at in segment.ancestors for part in parts_of[at])
        pieces = ceil(segment.length / MOST_QUERIES) if MOST_QUERIES * seen <= SMALL_SCORES else 1
        ends = [segment.length * piece // pieces for piece in range(pieces + 1)]
        own: tuple[int, ...] = ()
        for start, end in pairwise(ends):
            parts.append(Segment(segment.start + start, end - start, (*ancestors, *own)))
            own = (*own, len(parts) - 1)
        parts_of.append(own)
    return parts


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
    return longest * most <= SMALL_SCORES and len(members) * longest * most <= MOST_PADDING * real


def _group(
    segments: Sequence[Segment], members: Sequence[int], seen: Sequence[int], device: torch.device, dtype: torch.dtype
) -> Group:
    longest, most = max(segments[at].length for at in members), max(seen[at] for at in members)
    small = longest * most <= SMALL_SCORES
    if longest * most > LARGEST_BIAS:
        return _causal_group(segments, members[0], device)
    query_GL = torch.zeros(len(members), longest, dtype=torch.long)
    key_GS = torch.zeros(len(members), most, dtype=torch.long)
    kept_GL = torch.zeros(len(members), longest, dtype=torch.bool)
    for row, at in enumerate(members):
        own = _tokens(segments[at])
        query_GL[row, : len(own)] = own
        key_GS[row, : seen[at]] = _path(segments, at)
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


def _causal_group(segments: Sequence[Segment], at: int, device: torch.device) -> Group:
    """One segment with its ancestors as queries too, of whose values only its own are taken."""
    path = _path(segments, at)
    kept_M = torch.arange(len(path) - segments[at].length, len(path), device=device)
    row = path.to(device)
    return Group(row[None], row[None], kept_M, row[kept_M], bias_GLS=None, small=False)


def _path(segments: Sequence[Segment], at: int) -> torch.Tensor:
    """Indices of a segment's ancestors' tokens and its own, as they follow each other in the sequence."""
    return torch.cat([_tokens(segments[place]) for place in (*segments[at].ancestors, at)])


def _tokens(segment: Segment) -> torch.Tensor:
    return torch.arange(segment.start, segment.start + segment.length)


def gather(
    query_THD: torch.Tensor, key_TKD: torch.Tensor, value_TKD: torch.Tensor, group: Group
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A group's queries [G, L, heads, head_dim], and its keys and values [G, S, key heads, head_dim]."""

    def take(tensor: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return tensor.index_select(0, index.flatten()).view(*index.shape, *tensor.shape[1:])

    return take(query_THD, group.query_GL), take(key_TKD, group.key_GS), take(value_TKD, group.key_GS)
