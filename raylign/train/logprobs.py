"""Log-probabilities of completion tokens from hidden states, logits a chunk at a time; pure torch."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

CHUNK_TOKENS = 512
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
        logps_N, total_N = _logps(logits_NV, target_N)
        ctx.save_for_backward(logits_NV, target_N, total_N)
        return logps_N

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Gradient of the logits: (one-hot(target) − softmax(logits)) · gradient."""
        logits_NV, target_N, total_N = ctx.saved_tensors  # type: ignore[attr-defined]
        return _logits_gradient(logits_NV, target_N, total_N, gradients[0], torch.empty_like(logits_NV)), None


class _MatrixLogps(torch.autograd.Function):
    """log softmax(hidden · weightᵀ)[target] in fp32, a chunk of logits at a time, with one gradient of the weight.

    Autograd makes a gradient of the whole weight for every chunk, and adds it to those before. Here the chunks'
    products are added up in fp32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: torch.Tensor,
        weight_VD: torch.Tensor,
        target_N: torch.Tensor,
        chunk_tokens: int,
        kept_tokens: int,
    ) -> torch.Tensor:
        """Log-probabilities [N] in fp32 of the targets, whose logits come off their rows before these are rounded."""
        anchor_N1 = _anchor(hidden_ND, weight_VD, target_N)
        kept = min(len(hidden_ND), kept_tokens)
        logits_KV = hidden_ND.new_empty(kept, len(weight_VD)) if kept else None
        logps: list[torch.Tensor] = []
        totals: list[torch.Tensor] = []
        done = 0
        sizes = _sizes((kept, chunk_tokens), (len(hidden_ND) - kept, chunk_tokens))
        for hidden, target, anchor in _chunks(sizes, hidden_ND, target_N, anchor_N1):
            place = logits_KV[done : done + len(hidden)] if logits_KV is not None and done < kept else None
            done += len(hidden)
            logits = _logits(hidden, weight_VD, anchor, place)
            for made, part in zip((logps, totals), _logps(logits, target), strict=True):
                made.append(part)
        ctx.kept = logits_KV
        ctx.sizes = _sizes((kept, kept), (len(hidden_ND) - kept, max(chunk_tokens, kept)))
        ctx.save_for_backward(hidden_ND, weight_VD, target_N, anchor_N1, torch.cat(totals))
        return torch.cat(logps)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the hidden states and, where it is trained, of the weight.

        First the rows that were kept, then, if that is more than a chunk, as many at a time: their memory is free by
        then, and few products are to be added up.
        """
        hidden_ND, weight_VD, target_N, anchor_N1, total_N = ctx.saved_tensors
        hidden_gradient_ND, weight_gradient_VD = torch.empty_like(hidden_ND), None
        rows = (hidden_ND, target_N, anchor_N1, total_N, gradients[0], hidden_gradient_ND)
        for hidden, target, anchor, total, gradient, result in _chunks(ctx.sizes, *rows):
            # Kept logits are worked on in place, so they serve one backward pass; another one makes them again.
            logits, ctx.kept = ctx.kept, None
            logits = _logits(hidden, weight_VD, anchor) if logits is None else logits
            _logits_gradient(logits, target, total, gradient, logits)
            torch.mm(logits, weight_VD, out=result)
            if ctx.needs_input_grad[1]:
                weight_gradient_VD = _add_product(weight_gradient_VD, logits.t(), hidden, len(logits) < len(target_N))
            del logits
        if weight_gradient_VD is not None:
            weight_gradient_VD = weight_gradient_VD.to(weight_VD.dtype)
        return hidden_gradient_ND, weight_gradient_VD, None, None, None


def _anchor(hidden_ND: torch.Tensor, weight_VD: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
    """What is added to each row of logits before they are rounded: less the target's logit, [N, 1]; nothing in fp32,
    [N, 0], which rounds a logit no more than the product itself does.
    """
    if weight_VD.dtype == torch.float32:
        return hidden_ND.new_empty(len(hidden_ND), 0)
    logit_N1 = (hidden_ND.float() * weight_VD.index_select(0, target_N).float()).sum(-1, keepdim=True)
    return logit_N1.neg().to(weight_VD.dtype)


def _logits(
    hidden_ND: torch.Tensor, weight_VD: torch.Tensor, anchor: torch.Tensor, place_NV: torch.Tensor | None = None
) -> torch.Tensor:
    """Logits [N, V] of some rows, anchored where there is an anchor; made in `place_NV` if it is given."""
    if anchor.shape[1] == 0:
        return torch.mm(hidden_ND, weight_VD.t(), out=place_NV)
    return torch.addmm(anchor, hidden_ND, weight_VD.t(), out=place_NV)


def _sizes(*parts: tuple[int, int]) -> list[int]:
    """Sizes of the chunks of parts of the rows, each given as its rows and the most that a chunk of it may have; one of
    none where there are no rows at all.
    """
    return [min(most, rows - first) for rows, most in parts for first in range(0, rows, most or 1)] or [0]


def _add_product(sums: torch.Tensor | None, left: torch.Tensor, right: torch.Tensor, others: bool) -> torch.Tensor:
    """`sums`, which may not be there yet, plus left · right; in fp32 where there are `others` to add up."""
    if sums is None:
        return (left @ right).float() if others else left @ right
    return sums.addmm_(left, right) if sums.dtype == left.dtype else sums.add_(left @ right)


def _chunks(sizes: int | list[int], *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    return zip(*(torch.split(tensor, sizes) for tensor in tensors), strict=True)


def _logps(logits_NV: torch.Tensor, target_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of the targets and log-sum-exp of all, [N] each in fp32."""
    total_N = torch.cat([torch.logsumexp(logits.float(), dim=-1) for logits in _blocks(logits_NV, logits_NV)])
    return logits_NV.gather(1, target_N[:, None]).squeeze(1).float() - total_N, total_N


def _logits_gradient(
    logits_NV: torch.Tensor,
    target_N: torch.Tensor,
    total_N: torch.Tensor,
    gradient_N: torch.Tensor,
    result_NV: torch.Tensor,
) -> torch.Tensor:
    """(one-hot(target) − softmax(logits)) · gradient, written to `result_NV`, which may be the logits themselves."""
    columns = (column_N[:, None] for column_N in (target_N, total_N, gradient_N))
    blocks = (_blocks(tensor, logits_NV) for tensor in (logits_NV, result_NV, *columns))
    for logits, result, target, total, gradient in zip(*blocks, strict=True):
        scores = (logits.float() - total).exp_().mul_(-gradient)
        result.copy_(scores.scatter_add_(1, target, gradient))
    return result_NV


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
    for hidden_nD, target_n in _chunks(chunk_tokens, hidden_ND, target_N):
        kept += len(hidden_nD)
        if kept <= kept_tokens or not torch.is_grad_enabled():
            found.append(one(hidden_nD, target_n))
        else:
            found.append(checkpoint(one, hidden_nD, target_n, use_reentrant=False))
    return torch.cat(found)


def matrix_logps(
    hidden_ND: torch.Tensor,
    weight_VD: torch.Tensor,
    target_N: torch.Tensor,
    chunk_tokens: int = CHUNK_TOKENS,
    kept_tokens: int = 0,
) -> torch.Tensor:
    """What `token_logps` gives under a head that is one plain matrix, faster and in less memory.

    Logits are without their target's before they are rounded.

    Args:
        hidden_ND: hidden states that predict the targets, of the weight's type, which is that of the products.
        weight_VD: the head's weight, whole.
        target_N: token ids.
        chunk_tokens: rows projected at a time.
        kept_tokens: as in `token_logps`, but not in whole chunks alone.
    """
    kept_tokens = kept_tokens if torch.is_grad_enabled() else 0
    logps_N: torch.Tensor = _MatrixLogps.apply(hidden_ND, weight_VD, target_N, chunk_tokens, kept_tokens)  # type: ignore[no-untyped-call]
    return logps_N
