"""Log-probabilities of completion tokens from hidden states, logits a chunk at a time; pure torch."""

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint

CHUNK_TOKENS = 256
"""Completion tokens projected on the vocabulary at a time; bounds the memory of logits whatever the answers' length."""
_CACHED_SCORES = 400_000
"""fp32 logits, 1.6 MB, that several sweeps on CPU find in a core's cache; a whole chunk's would come from memory."""

Projection = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
"""Hidden states [N, D] and target ids [N] to logits [N, V]; one number may be off a whole row, as log-probabilities do
not see it."""


class _TokenLogps(torch.autograd.Function):
    """log softmax(logits)[target] in fp32, whose backward pass needs the logits and one number a token.

    torch's own log-softmax on CPU adds a row up from left to right: over a vocabulary, what is small beside the sum is
    lost, and every token's log-probability is too high by some 4e-6. Its log-sum-exp adds up in a tree.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, logits_NV: torch.Tensor, target_N: torch.Tensor
    ) -> torch.Tensor:
        """Log-probabilities [N] in fp32 of the targets under logits of any floating type."""
        total_N = torch.cat([torch.logsumexp(logits.float(), dim=-1) for logits in _blocks(logits_NV, logits_NV)])
        ctx.save_for_backward(logits_NV, target_N, total_N)
        return logits_NV.gather(1, target_N[:, None]).squeeze(1).float() - total_N

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Gradient of the logits: (one-hot(target) − softmax(logits)) · gradient."""
        logits_NV, target_N, total_N = ctx.saved_tensors  # type: ignore[attr-defined]
        result_NV = torch.empty_like(logits_NV)
        columns = (column_N[:, None] for column_N in (target_N, total_N, gradients[0]))
        blocks = (_blocks(tensor, logits_NV) for tensor in (logits_NV, result_NV, *columns))
        for logits, result, target, total, gradient in zip(*blocks, strict=True):
            scores = (logits.float() - total).exp_().mul_(-gradient)
            result.copy_(scores.scatter_add_(1, target, gradient))
        return result_NV, None


def _blocks(tensor_N: torch.Tensor, logits_NV: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The rows of a tensor in blocks as large as those logits are best worked on."""
    on_cpu = logits_NV.device.type == "cpu"
    rows = _CACHED_SCORES // logits_NV.shape[1] if on_cpu else len(logits_NV)
    return torch.split(tensor_N, max(1, rows))


def token_logps(
    hidden_ND: torch.Tensor,
    target_N: torch.Tensor,
    project: Projection,
    chunk_tokens: int = CHUNK_TOKENS,
    kept_tokens: int = 0,
) -> torch.Tensor:
    """Log-probability of each target token, [N] in fp32, a chunk of logits at a time.

    Args:
        hidden_ND: hidden states that predict the targets.
        target_N: token ids.
        project: hidden states and targets to logits; calls the model's language head as a module.
        chunk_tokens: rows projected at a time.
        kept_tokens: rows whose logits may stay for the backward pass, in whole chunks; the others' are computed again
            in it, so that no more than these and one chunk are ever held.
    """

    def one(hidden_nD: torch.Tensor, target_n: torch.Tensor) -> torch.Tensor:
        logps: torch.Tensor = _TokenLogps.apply(project(hidden_nD, target_n), target_n)  # type: ignore[no-untyped-call]
        return logps

    found, kept = [], 0
    for hidden_nD, target_n in zip(
        torch.split(hidden_ND, chunk_tokens), torch.split(target_N, chunk_tokens), strict=True
    ):
        kept += len(hidden_nD)
        if kept <= kept_tokens or not torch.is_grad_enabled():
            found.append(one(hidden_nD, target_n))
        else:
            found.append(checkpoint(one, hidden_nD, target_n, use_reentrant=False))
    return torch.cat(found)
