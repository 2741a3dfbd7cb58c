"""Log-probabilities of completion tokens from hidden states, logits a chunk at a time; pure torch."""

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint

CHUNK_TOKENS = 256
"""Completion tokens projected on the vocabulary at a time; bounds the memory of logits whatever the answers' length."""

Projection = Callable[[torch.Tensor], torch.Tensor]


class _TokenLogps(torch.autograd.Function):
    """log softmax(logits)[target] in fp32, whose backward pass needs the logits and one number a row."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, logits_NV: torch.Tensor, target_N: torch.Tensor
    ) -> torch.Tensor:
        """Log-probabilities [N] in fp32 of the targets under logits of any floating type."""
        normaliser_N = torch.logsumexp(logits_NV.float(), dim=-1)
        ctx.save_for_backward(logits_NV, target_N, normaliser_N)
        return logits_NV.gather(1, target_N[:, None]).squeeze(1).float() - normaliser_N

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Gradient of the logits: (one-hot(target) − softmax(logits)) · gradient."""
        logits_NV, target_N, normaliser_N = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient_N = gradients[0]
        result_NV = (logits_NV.float() - normaliser_N[:, None]).exp_().mul_(-gradient_N[:, None])
        result_NV.scatter_add_(1, target_N[:, None], gradient_N[:, None])
        return result_NV.to(logits_NV.dtype), None


def token_logps(
    hidden_ND: torch.Tensor, target_N: torch.Tensor, project: Projection, chunk_tokens: int = CHUNK_TOKENS
) -> torch.Tensor:
    """Log-probability of each target token, [N] in fp32, never holding logits of more than one chunk.

    Args:
        hidden_ND: hidden states that predict the targets.
        target_N: token ids.
        project: hidden states [n, D] to logits [n, V]; the model's language head, called as a module.
        chunk_tokens: rows projected at a time. Their logits are computed again in the backward pass.
    """

    def one(hidden_nD: torch.Tensor, target_n: torch.Tensor) -> torch.Tensor:
        logps: torch.Tensor = _TokenLogps.apply(project(hidden_nD), target_n)  # type: ignore[no-untyped-call]
        return logps

    chunks = zip(torch.split(hidden_ND, chunk_tokens), torch.split(target_N, chunk_tokens), strict=True)
    if torch.is_grad_enabled():
        return torch.cat([checkpoint(one, hidden, target, use_reentrant=False) for hidden, target in chunks])
    return torch.cat([one(hidden, target) for hidden, target in chunks])
