"""The policy as one torch module: a batch of pairs in, log-probabilities of their answers out.

Everything that touches weights happens inside `forward`, and through modules where ZeRO-3 takes weights apart, so that
DeepSpeed's hooks see it.
"""

from typing import Any

import torch
from torch import nn

from raylign.train.attention_plan import plan_attention
from raylign.train.head import head_logps
from raylign.train.packing import Batch
from raylign.train.products import is_wide
from raylign.train.remaking import remaking
from raylign.train.ulysses import Slices


class Policy(nn.Module):
    """A Hugging Face causal language model that scores preference pairs."""

    def __init__(
        self, model: Any, kept_logits_mb: int = 0, whole_weights: bool = True, attention: str = "auto"
    ) -> None:
        """Wrap a model.

        Args:
            kept_logits_mb: most MiB of logits to keep for the backward pass.
            whole_weights: all weights lie whole on this worker, as under any ZeRO stage but 3. Then cheap activations
                are let go and made again in the backward pass, and the head's gradient is made in one piece.
            attention: `train.attention`.
        """
        super().__init__()
        self.model = model
        self.whole_weights = whole_weights
        self.attention = attention
        self.in_bf16 = model.dtype == torch.bfloat16 and not is_wide(model)
        self.slices: Slices | None = None
        """Set where several workers share each row."""
        logits_bytes = model.config.get_text_config().vocab_size * (2 if self.in_bf16 else 4)
        self.kept_tokens = kept_logits_mb * 2**20 // logits_bytes

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed log-probabilities of the chosen and of the rejected answers, [B] each, in fp32.

        In bf16 the matrix products are, and what the layers add up is fp32: rounded to bf16 after every layer, the
        log-probabilities would be off by two thirds more.
        """
        device, dtype = batch.token_ids_RT.device, torch.bfloat16 if self.in_bf16 else torch.float32
        extra: dict[str, Any] = {}
        if batch.segments:
            flex = self.attention == "flex" or (self.attention == "auto" and device.type != "cpu")
            extra = {"plan": plan_attention(batch.segments, device, dtype, flex)}
        if self.slices is not None:
            batch, extra["slices"] = self.slices.cut(batch), self.slices
        with torch.autocast(device.type, torch.bfloat16, enabled=self.in_bf16):
            embedded_RTD = self.model.get_input_embeddings()(batch.token_ids_RT)
            with remaking(self.whole_weights):
                hidden_RTD = self.model.base_model(
                    inputs_embeds=embedded_RTD.float(),
                    position_ids=batch.position_ids_RT,
                    attention_mask=batch.padding_RT,
                    use_cache=False,
                    **extra,
                ).last_hidden_state
            hidden_ND = hidden_RTD.flatten(0, 1).index_select(0, batch.read_N)
            logps_N = head_logps(self.model, hidden_ND, batch.target_N, self.kept_tokens, self.whole_weights)
        # Hundreds of nats added up one by one in fp32 would put rewards off by some 1e-5, and all gradients with them.
        sums_A = torch.zeros(2 * batch.pairs, dtype=torch.float64, device=logps_N.device)
        sums_A = sums_A.index_add(0, batch.answer_N, logps_N.double())
        if self.slices is not None:
            sums_A = self.slices.add_up(sums_A)
        logps_A = sums_A.float()
        return logps_A[0::2], logps_A[1::2]
