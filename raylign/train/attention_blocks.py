"""The tree of a row's segments as a block mask for FlexAttention, which GPUs attend with; torch.

Segments lie depth first: what descends from one follows it directly. So a token is seen by those behind it, up to where
its segment's last descendant ends, and one number a token says all of the tree.
"""

from collections.abc import Sequence

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from raylign.train.packing import Segment


def seen_until(segments: Sequence[Segment]) -> torch.Tensor:
    """For each token of the row, the index behind the last one that sees it, [T]."""
    ends = [segment.start + segment.length for segment in segments]
    for segment in segments:
        for above in segment.ancestors:
            ends[above] = max(ends[above], segment.start + segment.length)
    lengths = torch.tensor([segment.length for segment in segments])
    return torch.tensor(ends).repeat_interleave(lengths)


def block_mask(segments: Sequence[Segment], device: torch.device) -> BlockMask:
    """Which blocks of keys each block of queries has to look at, and what of them each query sees."""
    until_T = seen_until(segments).to(device)

    def sees(batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (key <= query) & (query < until_T[key])

    # Compiled, it never holds the whole T × T mask, which for 32K tokens is a gigabyte.
    tokens, on_gpu = len(until_T), device.type != "cpu"
    return create_block_mask(sees, None, None, tokens, tokens, device=str(device), _compile=on_gpu)
