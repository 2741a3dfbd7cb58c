"""Log-probabilities of completion tokens from hidden states, a part of the logits at a time; pure torch."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

CHUNK_TOKENS = 512
"""Completion tokens projected on the vocabulary at a time; bounds the memory of logits whatever the answers' length."""
BLOCK_LOGITS = 2**24
"""Logits made at a time where the head is one plain matrix, of all completion tokens under a part of the vocabulary."""
_CACHED_SCORES = 400_000
"""fp32 logits, 1.6 MB, that several sweeps on CPU find in a core's cache; a whole chunk's would come from memory."""

Projection = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
"""Hidden states [N, D] and target ids [N] to logits [N, V]; one number may be off a whole row, as log-probabilities do
not see it."""


class _TokenLogps(torch.autograd.Function):
    """log softmax(logits)[target] in fp32, whose backward pass needs the logits and one number a token.

    torch's own log-softmax on CPU adds a row up from left to right: over a vocabulary, what is small beside the sum is
    lost, and every token's log-probability is too high by some 4e-6. `_total` adds up in a tree.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, logits_NV: torch.Tensor, target_N: torch.Tensor
    ) -> torch.Tensor:
        """Log-probabilities [N] in fp32 of the targets under logits of any floating type."""
        total_N = _total(logits_NV)
        ctx.save_for_backward(logits_NV, target_N, total_N)
        return (logits_NV.gather(1, target_N[:, None]).squeeze(1) - total_N).float()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Gradient of the logits: (one-hot(target) − softmax(logits)) · gradient."""
        logits_NV, target_N, total_N = ctx.saved_tensors  # type: ignore[attr-defined]
        place = _place(target_N, 0, logits_NV.shape[1])
        return _logits_gradient(logits_NV, place, total_N, gradients[0], torch.empty_like(logits_NV)), None


class _MatrixLogps(torch.autograd.Function):
    """log softmax(hidden · weightᵀ)[target] in fp32, a block of the vocabulary's logits at a time.

    Autograd makes a gradient of the whole weight for every chunk of rows, and adds it to those before. A block of
    columns has all rows, so its part of the weight's gradient is one product, rounded once, in its place.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: torch.Tensor,
        weight_VD: torch.Tensor,
        target_N: torch.Tensor,
        block_logits: int,
        kept_logits: int,
    ) -> torch.Tensor:
        """Log-probabilities [N] in fp32 of the targets, whose logits come off their rows before these are rounded."""
        anchor_N1 = anchor(hidden_ND, weight_VD, target_N, hidden_ND.dtype)
        logit_N = torch.zeros(len(hidden_ND), device=hidden_ND.device)  # of the target
        totals: list[torch.Tensor] = []
        columns = _columns(len(weight_VD), len(hidden_ND), block_logits, kept_logits)
        for first, last in columns:
            logits_NC = anchored_logits(hidden_ND, weight_VD[first:last].to(hidden_ND.dtype), anchor_N1)
            column_N1, is_here_N = _place(target_N, first, last)
            logit_N += torch.where(is_here_N, logits_NC.gather(1, column_N1).squeeze(1).float(), 0.0)
            totals.append(_total(logits_NC))
            ctx.kept = logits_NC if last == len(weight_VD) and kept_logits >= logits_NC.numel() else None
            del logits_NC  # the next block takes its place
        total_N = torch.logsumexp(torch.stack(totals), dim=0)
        ctx.columns = columns
        ctx.save_for_backward(hidden_ND, weight_VD, target_N, anchor_N1, total_N)
        return (logit_N - total_N).float()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the hidden states and, where it is trained, of the weight; the block that was kept goes first,
        so that its memory is free for the next one's.
        """
        hidden_ND, weight_VD, target_N, anchor_N1, total_N = ctx.saved_tensors
        sums_ND = torch.zeros_like(hidden_ND, dtype=torch.float32)
        weight_gradient_VD = torch.empty_like(weight_VD) if ctx.needs_input_grad[1] else None
        for first, last in reversed(ctx.columns):
            # Kept logits are worked on in place, so they serve one backward pass; another one makes them again.
            logits_NC, ctx.kept = ctx.kept, None
            weight_CD = weight_VD[first:last].to(hidden_ND.dtype)
            if logits_NC is None:
                logits_NC = anchored_logits(hidden_ND, weight_CD, anchor_N1)
            _logits_gradient(logits_NC, _place(target_N, first, last), total_N, gradients[0], logits_NC)
            _add_product(sums_ND, logits_NC, weight_CD)
            if weight_gradient_VD is not None:
                _put_product(weight_gradient_VD[first:last], logits_NC.t(), hidden_ND)
            del logits_NC
        return sums_ND.to(hidden_ND.dtype), weight_gradient_VD, None, None, None


def anchor(
    hidden_ND: torch.Tensor, weight_VD: torch.Tensor, target_N: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """What is added to each row of logits before they are rounded to their type: less the target's logit, [N, 1];
    nothing in fp32, [N, 0], which rounds a logit no more than the product itself does. It has no gradient: a number off
    a whole row changes no log-probability.
    """
    if dtype == torch.float32:
        return hidden_ND.new_empty(len(hidden_ND), 0)
    with torch.no_grad():
        logit_N1 = (hidden_ND.float() * weight_VD.index_select(0, target_N).float()).sum(-1, keepdim=True)
        return logit_N1.neg().to(dtype)


def anchored_logits(hidden_ND: torch.Tensor, weight_CD: torch.Tensor, anchor_N1: torch.Tensor) -> torch.Tensor:
    """Logits [N, C] of some columns, anchored where there is an anchor."""
    if anchor_N1.shape[1] == 0:
        return torch.mm(hidden_ND, weight_CD.t())
    return torch.addmm(anchor_N1, hidden_ND, weight_CD.t())


def _columns(vocabulary: int, rows: int, block_logits: int, kept_logits: int) -> list[tuple[int, int]]:
    """First and last (exclusive) column of each block of at most so many logits; the last one is what may be kept, if
    anything may.
    """
    kept = min(vocabulary, kept_logits // max(1, rows))
    widest = max(1, block_logits // max(1, rows))
    firsts = [*range(0, vocabulary - kept, widest), *([vocabulary - kept] if kept else [])]
    return list(zip(firsts, [*firsts[1:], vocabulary], strict=True))


def _place(target_N: torch.Tensor, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Each target's column [N, 1] in a block of the vocabulary, and whether it is there [N]; elsewhere some column."""
    column_N = target_N - first
    return column_N.clamp(0, last - first - 1)[:, None], (column_N >= 0) & (target_N < last)


def _put_product(place: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Write left · right, rounded to the place's type."""
    if left.dtype == place.dtype:
        torch.mm(left, right, out=place)
    else:
        place.copy_(left @ right)


def _add_product(sums: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add left · right to fp32 sums."""
    if left.dtype == sums.dtype:
        sums.addmm_(left, right)
    else:
        sums.add_(left @ right)


def _chunks(size: int, *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    return zip(*(torch.split(tensor, size) for tensor in tensors), strict=True)


def _total(logits_NV: torch.Tensor) -> torch.Tensor:
    """Log-sum-exp of each row's logits, [N] in fp64.

    It is often 20 or 30, so fp32 would round it by as much as a logit itself, and that off all of a row's
    probabilities alike.
    """
    totals = []
    for logits in _blocks(logits_NV, logits_NV):
        largest = logits.amax(dim=-1, keepdim=True).float()
        sums = (logits.float() - largest).exp_().sum(dim=-1)
        totals.append(sums.double().log_().add_(largest.squeeze(1)))
    return torch.cat(totals)


def _logits_gradient(
    logits_NV: torch.Tensor,
    place: tuple[torch.Tensor, torch.Tensor],
    total_N: torch.Tensor,
    gradient_N: torch.Tensor,
    result_NV: torch.Tensor,
) -> torch.Tensor:
    """(one-hot(target) − softmax(logits)) · gradient, written to `result_NV`, which may be the logits themselves."""
    column_N1, is_here_N = place
    rounded_N = total_N.float()
    to_others_N = (rounded_N - total_N).exp().mul_(-gradient_N).float()  # with what was rounded off the total
    columns = (column_N1, *(values_N[:, None] for values_N in (rounded_N, to_others_N, gradient_N * is_here_N)))
    blocks = (_blocks(tensor, logits_NV) for tensor in (logits_NV, result_NV, *columns))
    for logits, result, column, total, to_others, to_target in zip(*blocks, strict=True):
        scores = (logits.float() - total).exp_().mul_(to_others)
        result.copy_(scores.scatter_add_(1, column, to_target))
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
    block_logits: int = BLOCK_LOGITS,
    kept_logits: int = 0,
) -> torch.Tensor:
    """What `token_logps` gives under a head that is one plain matrix, faster and in less memory.

    Logits are without their target's before they are rounded.

    Args:
        hidden_ND: hidden states that predict the targets, of the type of the products.
        weight_VD: the head's weight, whole; a block of another type is converted while it is at work.
        target_N: token ids.
        block_logits: logits made at a time.
        kept_logits: those that may stay for the backward pass.
    """
    kept_logits = kept_logits if torch.is_grad_enabled() else 0
    logps_N: torch.Tensor = _MatrixLogps.apply(hidden_ND, weight_VD, target_N, block_logits, kept_logits)  # type: ignore[no-untyped-call]
    return logps_N
