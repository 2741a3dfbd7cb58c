"""Loads LoRA adapters from local folders, where ray.serve.llm knows cloud storage alone. This acts.

Importing this module imports vLLM.
"""

from typing import Any

from ray.llm._internal.common.models import global_id_manager
from ray.llm._internal.serve.core.configs.llm_config import DiskMultiplexConfig
from ray.llm._internal.serve.utils.lora_serve_utils import LoraModelLoader

from raylign.serve.plan import ADAPTER_FOLDERS


def local_adapter(name: str, llm_config: Any) -> DiskMultiplexConfig:
    """What the engine is told of an adapter: the served name, and the folder that the plan put into the model's own
    configuration."""
    return DiskMultiplexConfig(
        model_id=name,
        max_total_tokens=None,
        local_path=llm_config.experimental_configs[ADAPTER_FOLDERS][name],
        lora_assigned_int_id=global_id_manager.next(),
    )


class LocalAdapters(LoraModelLoader):  # type: ignore[misc]  # Ray has no types
    """Finds an adapter where it lies; there is nothing to fetch."""

    async def load_model_from_config(self, lora_model_id: str, llm_config: Any) -> DiskMultiplexConfig:
        """The adapter of this served name."""
        return local_adapter(lora_model_id, llm_config)
