"""Write the aligned model as a Hugging Face folder, whole or not at all. This acts (reads and writes files)."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.utils import GENERATION_CONFIG_NAME

from raylign.pairs.store import read_manifest
from raylign.tokenizer import load_tokenizer
from raylign.train.generation import meant
from raylign.train.job import Job
from raylign.train.lora import has_adapter, merge
from raylign.train.model_card import model_card
from raylign.train.model_loading import DTYPES, read_model


def write_model(job: Job, base: str, model: Any, state: dict[str, torch.Tensor], figures: dict[str, Any]) -> None:
    """Write a run's model to its place: the whole model, or with LoRA what `train.export` says.

    Args:
        base: folder or hub id of the model that the run started from.
        model: the Hugging Face model that `state` belongs to.
        state: its weights by name, whole; of a model with an adapter the adapter's alone.
        figures: what training found, for the model card.
    """
    tokenizer = load_tokenizer(base, job.config.trust_remote_code)
    dtype = DTYPES[job.config.train.dtype]
    chats = tokenizer.chat_template is not None
    card = model_card(job.config, figures, read_manifest(job.pairs), chats, job.names)
    if not has_adapter(model):
        export_model(job.export_path, model, state, tokenizer, card, dtype)
    elif job.config.train.export == "adapter":
        name = job.names.get(job.config.model, base)
        export_adapter(job.export_path, model, state, tokenizer, card, name, dtype)
    else:
        with tempfile.TemporaryDirectory(prefix="raylign-adapter-") as folder:
            export_adapter(Path(folder) / "adapter", model, state, tokenizer, card, base, dtype)
            whole = merge(Path(folder) / "adapter", read_model(base, job.config))
        export_model(job.export_path, whole, whole.state_dict(), tokenizer, card, dtype)


def export_model(
    folder: Path, model: Any, state: dict[str, torch.Tensor], tokenizer: Any, card: str, dtype: torch.dtype
) -> None:
    """Write weights (safetensors), configuration, generation settings, tokenizer, chat template and model card.

    Args:
        folder: where the model goes; a former export there is replaced.
        model: the Hugging Face model that `state` belongs to; gives configuration and generation settings.
        state: its weights by name, whole.
        tokenizer: the tokenizer it was trained with.
        card: the text of README.md.
        dtype: what the weights are written in. A run in fp32 that were written in bf16 would lose its small steps.
    """
    with _replacing(folder) as hidden:
        _save(hidden, model, _in_type(state, dtype))
        model.config.dtype = dtype  # `save_pretrained` wrote that of `model`, whose weights are other ones than `state`
        model.config.save_pretrained(hidden)
        tokenizer.save_pretrained(hidden)
        (hidden / "README.md").write_text(card, encoding="utf-8")


def export_adapter(
    folder: Path,
    model: Any,
    state: dict[str, torch.Tensor],
    tokenizer: Any,
    card: str,
    base: str,
    dtype: torch.dtype,
) -> None:
    """Write an adapter in peft's format, with tokenizer, chat template and model card beside it.

    Args:
        state: the adapter's weights by their names in `model`.
        base: hub id of the model that it belongs on, or its folder where it has none: that path is then the only
            pointer to it that peft has, so it stands in the configuration, and means nothing on another machine.
        dtype: what the weights are written in.
    """
    with _replacing(folder) as hidden:
        (settings,) = model.peft_config.values()
        settings.base_model_name_or_path = None  # peft would ask the hub for its vocabulary, which is the model's own
        _save(hidden, model, _in_type(state, dtype))
        settings.base_model_name_or_path = base
        settings.save_pretrained(hidden)
        tokenizer.save_pretrained(hidden)
        (hidden / "README.md").write_text(card, encoding="utf-8")


def _save(folder: Path, model: Any, state: dict[str, torch.Tensor]) -> None:
    """`save_pretrained` without its check of the generation settings, which refuses what loading only warns of.

    What was trained must not be lost for them. They are those of the base as they are meant, and no worse than there.
    """
    if not model.can_generate():
        model.save_pretrained(folder, state_dict=state)
        return
    settings = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        model.save_pretrained(folder, state_dict=state)
    finally:
        model.generation_config = settings
    meant(settings).to_json_file(folder / GENERATION_CONFIG_NAME, keys_to_pop=["compile_config"])


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A new folder to write into, which takes the place of `folder` when the block has ended well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield hidden
        hidden.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        hidden.rename(folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _in_type(state: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: value.to("cpu", dtype) if value.is_floating_point() else value.cpu() for name, value in state.items()}
