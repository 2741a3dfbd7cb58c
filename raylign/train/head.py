"""From last hidden states to logits, as the model's own head makes them; pure torch.

Log-probabilities are taken on completion positions only, so the head is called apart from the model's forward pass, and
what some models do behind their projection must be done here too: a cap (Gemma 2), a factor (Cohere) or a divisor
(Granite). `check_projection` finds models that do something else, before training.

A logit of 20 has steps of an eighth in bf16, which is most of what bf16 costs a log-probability. Softmax sees only
differences, so an anchored head takes the target's own logit off its row before rounding: what matters is then small.
"""

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from raylign.errors import ModelError
from raylign.train.logprobs import Projection, anchor, anchored_logits, matrix_logps, token_logps
from raylign.train.precision import product_type


def anchor_head(model: Any) -> None:
    """Let a head that is one plain matrix take off the target's logit; others round as they always did.

    Weights, names and hooks stay as they are, and so does what the head gives without targets.
    """
    head = model.get_output_embeddings()
    if type(head) is nn.Linear and head.bias is None:
        head.forward = MethodType(_anchored, head)


def _anchored(self: Any, hidden_ND: torch.Tensor, target_N: torch.Tensor | None = None) -> torch.Tensor:
    # fp32 states ask for fp32 products, unless autocast is about to round both.
    rounds = torch.is_autocast_enabled(hidden_ND.device.type)
    weight_VD = self.weight if rounds else self.weight.to(hidden_ND.dtype)
    if target_N is None:
        return F.linear(hidden_ND, weight_VD)
    return anchored_logits(hidden_ND, weight_VD, anchor(hidden_ND, self.weight, target_N, product_type(hidden_ND)))


def _is_anchored(head: Any) -> bool:
    return getattr(head.forward, "__func__", None) is _anchored


def _behind(model: Any) -> tuple[float, float | None]:
    """What the model does to its logits behind the projection: a factor, and a cap if there is one."""
    settings = model.config.get_text_config()
    factor = float(getattr(settings, "logit_scale", None) or 1.0) / float(
        getattr(settings, "logits_scaling", None) or 1.0
    )
    return factor, getattr(settings, "final_logit_softcapping", None)


def head_logps(
    model: Any, hidden_ND: torch.Tensor, target_N: torch.Tensor, kept_tokens: int = 0, whole: bool = True
) -> torch.Tensor:
    """Log-probability of each target token under the model's head, [N] in fp32.

    Args:
        model: a causal language model.
        hidden_ND: the last hidden states that predict the targets.
        target_N: token ids.
        kept_tokens: rows whose logits may stay for the backward pass.
        whole: the head's weight lies whole on this worker; one that ZeRO-3 takes apart is there only while its module
            is called.
    """
    head = model.get_output_embeddings()
    if not whole or not _is_anchored(head) or _behind(model) != (1.0, None):
        return token_logps(hidden_ND, target_N, projection(model), kept_tokens=kept_tokens)
    dtype = product_type(hidden_ND)
    with torch.autocast(hidden_ND.device.type, enabled=False):
        kept = kept_tokens * len(head.weight)
        return matrix_logps(hidden_ND.to(dtype), head.weight, target_N, kept_logits=kept)


def projection(model: Any) -> Projection:
    """Hidden states [N, D] and targets [N] to the logits [N, V] of the model's own forward pass.

    Of an anchored head each row is less by one number.
    """
    head, (factor, cap) = model.get_output_embeddings(), _behind(model)
    anchored = _is_anchored(head) and not cap

    def project(hidden_ND: torch.Tensor, target_N: torch.Tensor | None) -> torch.Tensor:
        logits_NV: torch.Tensor = head(hidden_ND, target_N) if anchored else head(hidden_ND)
        if factor != 1.0:
            logits_NV = logits_NV * factor
        return torch.tanh(logits_NV / cap) * cap if cap else logits_NV

    return project


def check_projection(model: Any) -> None:
    """Raise a ModelError where the model's logits are not what `projection` makes of its last hidden states."""
    ids = torch.arange(4, device=model.device)[None] + 1
    with torch.no_grad():
        wanted = model(input_ids=ids, use_cache=False).logits[0].float()
        found = projection(model)(model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0], None).float()
    if found.shape != wanted.shape or not torch.allclose(found, wanted, rtol=1e-2, atol=1e-2):
        raise ModelError(
            f"a model of type {model.config.model_type} makes its logits in a way that training does not know",
            "known are a plain projection, final_logit_softcapping, logit_scale and logits_scaling",
        )
