"""How many floating-point operations a training step takes by its model and its batch; pure torch.

Model FLOPs as arXiv 2204.02311, appendix B, counts them for its utilisation figure: two operations a weight and token
forward, as many for the gradient of the activations, and as many again for the gradient of each weight that is trained;
recomputation (activation checkpointing, chunked logits) does not count. Departures: attention is causal here, so only
the scores that are not masked count; the vocabulary projection counts on completion positions, where alone it is made;
a token that several answers share counts once. Sliding windows are counted as if they saw everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from raylign.train.packing import LEAST_SAVED, Batch, Layout, common_prefix
from raylign.train.tokens import TokenPair


@dataclass(frozen=True)
class ModelSize:
    """What of a model takes part in matrix products, in weights."""

    body: int
    """Weights that a token is multiplied with between embeddings and head; of experts, the active ones."""
    body_trained: int
    """Those of them that get a gradient."""
    head: int
    """Weights of the vocabulary projection."""
    head_trained: int
    attention: int
    """Width of all heads together, summed over the layers that attend."""


@dataclass(frozen=True)
class Work:
    """What passes through the model."""

    tokens: int = 0
    """Tokens computed, each once; padding not counted."""
    completions: int = 0
    """Tokens whose log-probability is taken."""
    scores: int = 0
    """Pairs of a query and a key it may see, in one head of one layer."""

    def __add__(self, other: "Work") -> "Work":
        return Work(self.tokens + other.tokens, self.completions + other.completions, self.scores + other.scores)


def training_flops(size: ModelSize, work: Work) -> float:
    """Operations of a forward and backward pass."""
    body = (4 * size.body + 2 * size.body_trained) * work.tokens
    head = (4 * size.head + 2 * size.head_trained) * work.completions
    return float(body + head + 12 * size.attention * work.scores)


def work_of(batch: Batch) -> Work:
    """The work of a micro-batch as it is laid out."""
    completions = batch.target_N.numel()
    if batch.padding_RT is not None:
        lengths = [int(length) for length in batch.padding_RT.sum(dim=1)]
        return Work(sum(lengths), completions, sum(_causal(length) for length in lengths))
    lengths = [segment.length for segment in batch.segments]
    scores = 0
    for segment in batch.segments:
        seen = sum(lengths[index] for index in segment.ancestors)
        scores += segment.length * seen + _causal(segment.length)
    return Work(batch.token_ids_RT.numel(), completions, scores)


def work_of_pair(pair: TokenPair, layout: Layout, known: int = 0) -> Work:
    """The work that a pair adds to a micro-batch.

    Args:
        known: leading tokens of the prompt that are computed for another pair already, in the shared layout.
    """
    prompt, answers = len(pair.prompt_ids), (pair.chosen_ids, pair.rejected_ids)
    completions = sum(len(answer) for answer in answers)
    if layout == "shared":
        laid = [answer[:-1] for answer in answers]
        alike = common_prefix(laid)
        once = alike if alike >= LEAST_SAVED else 0
        tails = sum(len(tail) * prompt + _causal(len(tail)) for tail in laid) - once * prompt - _causal(once)
        tokens = prompt - known + sum(len(tail) for tail in laid) - once
        return Work(tokens, completions, _causal(prompt) - _causal(known) + tails)
    left_out = 0 if layout == "padded" else 1  # the last token, which only a padded row holds
    rows = [prompt + len(answer) - left_out for answer in answers if answer]
    return Work(sum(rows), completions, sum(_causal(row) for row in rows))


def pair_costs(pairs: Sequence[TokenPair], size: ModelSize, layout: Layout) -> list[float]:
    """Operations that each pair adds to a step, which batches are balanced by.

    What all prompts begin with is, in the shared layout, computed once a micro-batch, and so belongs to no pair.
    """
    known = common_prefix([pair.prompt_ids for pair in pairs]) if layout == "shared" and pairs else 0
    return [training_flops(size, work_of_pair(pair, layout, known)) for pair in pairs]


def model_size(model: Any) -> ModelSize:
    """The size of a Hugging Face causal language model, before ZeRO takes its weights apart."""
    settings = model.config.get_text_config()
    head = model.get_output_embeddings()
    active = _active_share(settings)
    body = trained = 0
    for module in model.modules():
        if module is head or isinstance(module, nn.Embedding):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() < 2:
                continue
            # A quantised layer packs its weights, so their number is the layer's and not the tensor's.
            linear = isinstance(module, nn.Linear) and name == "weight"
            weights = module.in_features * module.out_features if linear else parameter.numel()
            if parameter.dim() == 3 and active < 1:
                weights = round(weights * active)
            body += weights
            trained += weights if parameter.requires_grad else 0
    head_weights = head.in_features * head.out_features
    return ModelSize(
        body, trained, head_weights, head_weights if head.weight.requires_grad else 0, _attention(settings)
    )


def _active_share(settings: Any) -> float:
    """Share of the experts that a token passes through; 1 for a model without any."""
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((value for name in names if (value := getattr(settings, name, None))), None)
    used = getattr(settings, "num_experts_per_tok", None)
    return used / experts if experts and used else 1.0


def _attention(settings: Any) -> int:
    kinds = getattr(settings, "layer_types", None) or ["attention"] * settings.num_hidden_layers
    layers = sum(kind == "hybrid" or ("attention" in kind and kind != "linear_attention") for kind in kinds)
    heads = settings.num_attention_heads
    return int(layers * heads * (getattr(settings, "head_dim", None) or settings.hidden_size // heads))


def _causal(length: int) -> int:
    return length * (length + 1) // 2
