"""Low-rank adapters on the policy, through peft: put on, switched off for the reference, merged. This acts (models)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from raylign.config.training import LoraConfig
from raylign.errors import ModelError


def add_adapter(model: Any, lora: LoraConfig) -> None:
    """Freeze a transformers model's weights and put an adapter on its linear layers (arXiv 2106.09685, section 4).

    The adapter's second factor starts at zero, so the policy starts as the reference.

    Raises:
        ModelError: no layer has one of the names in `train.lora.targets`.
    """
    import peft

    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or "all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        model.add_adapter(config)
    except ValueError as error:
        linear = {name.rpartition(".")[2] for name, module in model.named_modules() if hasattr(module, "in_features")}
        raise ModelError(
            f"train.lora.targets is {lora.targets} and no adapter can be put there",
            f"the model's linear layers are {', '.join(sorted(linear))}",
        ) from error


@contextmanager
def adapter_off(model: Any) -> Iterator[None]:
    """The model as it was before its adapter was trained; nothing changes where it has none."""
    if not has_adapter(model):
        yield
        return
    model.disable_adapters()
    try:
        yield
    finally:
        model.enable_adapters()


def has_adapter(model: Any) -> bool:
    """Whether `add_adapter` was called on it."""
    return bool(getattr(model, "_hf_peft_config_loaded", False))


def quantization_settings(lora: LoraConfig) -> Any:
    """How transformers loads the frozen weights in 4 bits (arXiv 2305.14314, section 3), or None where it does not."""
    if lora.rank is None or lora.quantization is None:
        return None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=lora.quantization,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def merge(adapter: Path, base: Any) -> Any:
    """The base model with the adapter of a folder added to its weights: a plain transformers model.

    Args:
        base: the model that the adapter was trained on, as it was published: not in 4 bits, which would round twice.
    """
    import peft

    return peft.PeftModel.from_pretrained(base, adapter).merge_and_unload()
