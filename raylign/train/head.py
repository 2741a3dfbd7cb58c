"""From last hidden states to logits, as the model's own head makes them; pure torch.

Log-probabilities are taken on completion positions only, so the head is called apart from the model's forward pass, and
what some models do behind their projection must be done here too: a cap (Gemma 2), a factor (Cohere) or a divisor
(Granite). `check_projection` finds models that do something else, before training.
"""

from typing import Any

import torch

from raylign.errors import ModelError
from raylign.train.logprobs import Projection


def projection(model: Any) -> Projection:
    """Hidden states [N, D] to the logits [N, V] that the model's own forward pass would give."""
    settings, head = model.config.get_text_config(), model.get_output_embeddings()
    factor = float(getattr(settings, "logit_scale", None) or 1.0) / float(
        getattr(settings, "logits_scaling", None) or 1.0
    )
    cap = getattr(settings, "final_logit_softcapping", None)
    if factor == 1.0 and not cap:
        return head  # type: ignore[no-any-return]

    def project(hidden_ND: torch.Tensor) -> torch.Tensor:
        logits_NV: torch.Tensor = head(hidden_ND) * factor
        return torch.tanh(logits_NV / cap) * cap if cap else logits_NV

    return project


def check_projection(model: Any) -> None:
    """Raise a ModelError where the model's logits are not what `projection` makes of its last hidden states."""
    ids = torch.arange(4, device=model.device)[None] + 1
    with torch.no_grad():
        wanted = model(input_ids=ids, use_cache=False).logits[0].float()
        found = projection(model)(model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]).float()
    if found.shape != wanted.shape or not torch.allclose(found, wanted, rtol=1e-2, atol=1e-2):
        raise ModelError(
            f"a model of type {model.config.model_type} makes its logits in a way that training does not know",
            "known are a plain projection, final_logit_softcapping, logit_scale and logits_scaling",
        )
