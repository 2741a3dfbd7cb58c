"""Which layout a model's batches can have, and why it is not the one that shares prompts; pure torch.

A shared or packed row holds several sequences, which raylign's own attention keeps apart (`raylign.train.attention`).
It serves models where nothing else looks from one token to another, and where that attention computes what the model's
own would.
"""

from dataclasses import dataclass
from typing import Any

import torch

from raylign.train.packing import Layout

_ATTENDING = {"full_attention", "sliding_attention"}
"""Types of layers that look from token to token through attention alone, over everything or over a window."""


@dataclass(frozen=True)
class Choice:
    """A layout, and in words why it is not `shared`; no words where it is."""

    layout: Layout
    reason: str = ""


def choose_layout(model: Any, max_length: int) -> Choice:
    """The best layout in which each answer keeps the model's own log-probability.

    Args:
        model: a Hugging Face causal language model, with or without an adapter.
        max_length: most tokens that a sequence may have, `train.max_length`.
    """
    if reason := _why_padded(model, max_length):
        return Choice("padded", reason)
    if reason := _why_packed(model.config.get_text_config()):
        return Choice("packed", reason)
    return Choice("shared")


def _why_padded(model: Any, max_length: int) -> str:
    """Why no row may hold more than one sequence; nothing where it may."""
    settings = model.config.get_text_config()
    if _is_hybrid(model):
        return "it is a hybrid: some of its layers carry a state along the row, from one answer into the next"
    if not getattr(model, "_supports_attention_backend", False):
        return "its attention takes no function from outside"
    if unknown := _layer_types(settings) - _ATTENDING:
        return f"it has layers of type {', '.join(sorted(unknown))}"
    if getattr(settings, "use_bidirectional_attention", None) in (True, "all"):
        return "its attention looks ahead"
    if _slides(settings):
        window = getattr(settings, "sliding_window", None)
        if not isinstance(window, int):
            return "its attention has a sliding window that does not say how long it is"
        if window < max_length:
            return (
                f"its attention has a sliding window of {window} tokens, and a sequence may have {max_length} "
                "(train.max_length)"
            )
    if getattr(settings, "attn_logit_softcapping", None):
        return "its attention caps its scores"
    if any(name.endswith("sinks") for name, _ in model.named_parameters()):
        return "its attention has sinks, scores that belong to no token"
    return ""


def _why_packed(settings: Any) -> str:
    """Why a row that holds several sequences must hold each of them whole; nothing where prompts can be shared."""
    if _slides(settings):
        return f"its attention has a sliding window ({settings.sliding_window} tokens, as long as any sequence here)"
    if coefficient := getattr(settings, "router_aux_loss_coef", None) or getattr(settings, "aux_loss_coef", None):
        return (
            f"its experts are balanced by an auxiliary loss (coefficient {coefficient:g}) over the tokens of whole "
            "sequences; training here does not add it"
        )
    return ""


def _layer_types(settings: Any) -> set[str]:
    return set(getattr(settings, "layer_types", None) or ["full_attention"])


def _slides(settings: Any) -> bool:
    """Whether a layer's attention has a window, as its type or the model's settings say."""
    used = getattr(settings, "sliding_window", None) and getattr(settings, "use_sliding_window", True)
    return bool(used) or "sliding_attention" in _layer_types(settings)


def _is_hybrid(model: Any) -> bool:
    """Whether a layer carries a state from token to token, as state-space, recurrent and convolution layers do."""
    stateful = getattr(model, "_is_stateful", False)
    return bool(stateful) or any(isinstance(module, torch.nn.Conv1d) for module in model.modules())
