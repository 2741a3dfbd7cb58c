"""Load the target model with the attention of the layout that it allows. This acts (reads files)."""

import os
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import cached_file

from raylign.config.schema import LoopConfig
from raylign.errors import ModelError
from raylign.train.attention import SEGMENTED
from raylign.train.head import anchor_head, check_projection
from raylign.train.layout import choose_layout
from raylign.train.lean import make_lean
from raylign.train.lora import add_adapter, quantization_settings
from raylign.train.products import widen

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def load_model(model: str, config: LoopConfig) -> Any:
    """The target model in the training type, without dropout, ready for the layout that its attention allows.

    Policy and reference are the same weights at the first step, so dropout would only make them differ (TRL turns it
    off too). With LoRA its weights are frozen and an adapter is put on them.

    Raises:
        ModelError: the folder cannot be loaded, a weight is not finite, or its kind of model cannot be trained.
    """
    loaded = read_model(model, config, quantization_settings(config.train.lora))
    check_finite_weights(loaded, model)
    check_projection(loaded)
    make_lean(loaded)
    if config.train.products == "fp32":
        widen(loaded)
    anchor_head(loaded)
    if choose_layout(loaded, config.train.max_length).layout != "padded":
        loaded.set_attn_implementation(SEGMENTED)
    if config.train.lora.rank is not None:
        add_adapter(loaded, config.train.lora)
    if config.train.activation_checkpointing:
        loaded.gradient_checkpointing_enable({"use_reentrant": False})
    return loaded


def read_model(model: str, config: LoopConfig, quantization: Any = None) -> Any:
    """The target model as it is in its folder, without dropout, in the training type; from safetensors only.

    Args:
        quantization: how transformers quantises it; None leaves its weights as they are.

    Raises:
        ModelError: the folder cannot be loaded, or a package that quantises is missing.
    """
    further = {} if quantization is None else {"quantization_config": quantization, "device_map": {"": _own_gpu()}}
    settings = read_settings(model, config.trust_remote_code)
    for name in list(vars(settings)):
        if name.endswith(("dropout", "pdrop")) and isinstance(getattr(settings, name), float):
            setattr(settings, name, 0.0)
    try:
        return AutoModelForCausalLM.from_pretrained(
            model,
            config=settings,
            dtype=DTYPES[config.train.dtype],
            use_safetensors=True,
            trust_remote_code=config.trust_remote_code,
            **further,
        )
    except (OSError, ValueError) as error:
        raise _unreadable(model, error) from error
    except ImportError as error:
        raise ModelError(
            f"train.lora.quantization is {config.train.lora.quantization!r}: {_first_line(error)}",
            "install bitsandbytes on every GPU host, or set train.lora.quantization=null",
        ) from error


def _own_gpu() -> int:
    """The number, on its host, of this worker's GPU, which DeepSpeed takes as well; 0 where Ray Train set none.

    Ray Train lets each worker see the GPUs of all workers on its host.
    """
    return int(os.environ.get("LOCAL_RANK", "0"))


def check_finite_weights(loaded: Any, model: str) -> None:
    """Raise a ModelError where a weight is NaN or infinite: training would only spread it."""
    wrong = [
        name
        for name, value in loaded.named_parameters()
        if value.is_floating_point() and not bool(torch.isfinite(value.detach()).all())
    ]
    if wrong:
        raise ModelError(
            f"model {model} has weights that are NaN or infinite: {wrong[0]}"
            + (f" and {len(wrong) - 1} more tensors" if len(wrong) > 1 else ""),
            "take another checkpoint of it: these weights were damaged before this run",
        )


def read_settings(model: str, trust_remote_code: bool) -> Any:
    """The model's configuration, without its weights.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise _unreadable(model, error) from error


def context_length(settings: Any) -> int | None:
    """Most tokens that a model of this configuration was made for, or None where it does not say."""
    return getattr(settings.get_text_config(), "max_position_embeddings", None)


def check_rope(settings: Any, longest: int) -> None:
    """Refuse sequences of up to `longest` tokens where the positions of all in a batch hang on its longest one.

    LongRoPE (arXiv 2402.13753) in transformers takes other frequencies for the whole batch as soon as one of its
    sequences is longer than the model's first context: a pair's log-probabilities would change with its neighbours.

    Raises:
        ModelError: names the length up to which they do not.
    """
    text = settings.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    first = rope.get("original_max_position_embeddings") or getattr(text, "original_max_position_embeddings", None)
    if rope.get("rope_type") == "longrope" and first and longest > first:
        raise ModelError(
            f"pairs may have {longest} tokens (train.max_length), and the model's LongRoPE changes for a whole batch "
            f"beyond {first}",
            f"set train.max_length={first}",
        )


def weights_folder(model: str) -> Path:
    """The local folder of a model folder or of a hub id that was loaded before."""
    return Path(model) if Path(model).is_dir() else Path(str(cached_file(model, "config.json"))).parent


def _unreadable(model: str, error: Exception) -> ModelError:
    return ModelError(f"model {model} cannot be loaded: {_first_line(error)}", "check the model folder")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
