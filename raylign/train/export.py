"""Write the aligned model as a Hugging Face folder, whole or not at all. This acts (writes files)."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch


def export_model(folder: Path, model: Any, state: dict[str, torch.Tensor], tokenizer: Any) -> None:
    """Write weights (safetensors, bf16), configuration, generation settings, tokenizer and chat template.

    Args:
        folder: where the model goes; a former export there is replaced.
        model: the Hugging Face model that `state` belongs to; gives configuration and generation settings.
        state: its weights by name, whole.
        tokenizer: the tokenizer it was trained with.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        half = {
            name: value.to("cpu", torch.bfloat16) if value.is_floating_point() else value.cpu()
            for name, value in state.items()
        }
        model.save_pretrained(hidden, state_dict=half)
        model.config.dtype = torch.bfloat16  # `save_pretrained` wrote the type that the model was trained in
        model.config.save_pretrained(hidden)
        tokenizer.save_pretrained(hidden)
        hidden.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        hidden.rename(folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
