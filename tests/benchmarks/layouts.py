"""What the ablation lays beside raylign's own batches and logits: every step from padded to packed; pure torch."""

from collections.abc import Sequence
from typing import Any

import torch

from raylign.train.head import projection
from raylign.train.packing import Batch, pack, pack_tree
from raylign.train.tokens import TokenPair

LAYOUTS = ("padded", "packed", "pair", "raylign")
LOGITS = ("everywhere", "answers", "chunked")
PAIRS_TOGETHER = {"packed": 0, "pair": 1, "raylign": None}
"""Of the layouts in one row: how many neighbouring pairs share what they begin with."""


def lay_out(pairs: Sequence[TokenPair], layout: str) -> Batch:
    """A micro-batch in one of LAYOUTS: `raylign` is what the trainer does, `pair` shares within each pair alone."""
    return pack(pairs, "padded") if layout == "padded" else pack_tree(pairs, PAIRS_TOGETHER[layout])


def whole_head_logps(
    model: Any, hidden_ND: torch.Tensor, target_N: torch.Tensor, kept_tokens: int, whole: bool
) -> torch.Tensor:
    """Log-probabilities [N] as plain torch has them: all logits at once, kept for the backward pass."""
    return plain_logps(projection(model)(hidden_ND, None), target_N)


def plain_logps(logits_NV: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
    """Log-probabilities [N] by torch's log-sum-exp: its log-softmax on CPU is off by 4e-6 a token, which adds up."""
    logits_NV = logits_NV.float()
    return logits_NV.gather(1, target_N[:, None]).squeeze(1) - torch.logsumexp(logits_NV, dim=-1)


def model_flops(batch: Batch, settings: object, head_everywhere: bool = False) -> float:
    """Multiplications and additions that a training step of this batch needs: 6 a weight and token, attention besides.

    Recomputed logits and padding's attention are not counted as needed; the optimizer is left out.

    Args:
        batch: one row of segments.
        settings: the model's configuration, a Llama's.
        head_everywhere: whether logits are computed at every position.
    """
    wide, narrow, layers = settings.hidden_size, settings.intermediate_size, settings.num_hidden_layers  # type: ignore[attr-defined]
    heads, key_heads = settings.num_attention_heads, settings.num_key_value_heads  # type: ignore[attr-defined]
    size = wide // heads
    weights = layers * (wide * size * (2 * heads + 2 * key_heads) + 3 * wide * narrow)
    tokens, answers = batch.token_ids_RT.numel(), batch.target_N.numel()
    seen = 0.0
    for segment in batch.segments:
        before = sum(batch.segments[at].length for at in segment.ancestors)
        seen += segment.length * (before + (segment.length + 1) / 2)
    attention = 12 * layers * wide * seen
    return (
        6.0 * weights * tokens + 6.0 * settings.vocab_size * wide * (tokens if head_everywhere else answers) + attention
    )  # type: ignore[attr-defined]
