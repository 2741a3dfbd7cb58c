"""A model's replica: ray.serve.llm's, with a check at its start and streams that start at once. This acts.

Importing this module imports vLLM.
"""

import math
from collections.abc import AsyncGenerator
from typing import Any

from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine
from ray.serve.llm.deployment import LLMServer
from ray.serve.llm.openai_api_models import CompletionRequest

from raylign.engine import EXECUTOR
from raylign.errors import ModelError
from raylign.serve.adapters import local_adapter
from raylign.serve.plan import ADAPTER_FOLDERS
from raylign.serve.stream import grouped

SECONDS_BETWEEN_GROUPS = 0.05
"""Of a stream's tokens, once its first have gone."""


class Engine(VLLMEngine):  # type: ignore[misc]  # Ray has no types
    """Computes where its arguments say; ray.serve.llm would start another process for that on every CPU."""

    def _start_async_llm_engine(self, arguments: Any, config: Any, placement_group: Any) -> Any:
        if chosen := self.llm_config.engine_kwargs.get(EXECUTOR):
            config.parallel_config.distributed_executor_backend = chosen
        return super()._start_async_llm_engine(arguments, config, placement_group)


class ModelServer(LLMServer):  # type: ignore[misc]
    """Serves one model once it has shown that it answers."""

    _default_engine_cls = Engine

    async def start(self) -> None:
        """Load the model and let it write one token; a replica that cannot is never given a request.

        Raises:
            ModelError: the model loads, and answers with an error or with numbers that are none.
        """
        await super().start()
        for adapter in self._llm_config.experimental_configs.get(ADAPTER_FOLDERS, {}):
            await self.engine.resolve_lora(local_adapter(adapter, self._llm_config))
            await self._check(adapter)
        await self._check(self._llm_config.model_id)

    async def _check(self, name: str) -> None:
        request = CompletionRequest(model=name, prompt="Hello", max_tokens=1, temperature=0, logprobs=1)
        async for reply in self.engine.completions(request, None):
            choices = getattr(reply, "choices", None)
            if not choices:
                raise ModelError(f"{name} does not answer: {getattr(reply, 'error', reply)}")
            logprobs = choices[0].logprobs
            if logprobs is None or not all(math.isfinite(value or 0.0) for value in logprobs.token_logprobs):
                raise ModelError(f"the weights of {name} give no numbers: its first token has no log-probability")

    def _batch_output_stream(self, generator: AsyncGenerator[Any, None]) -> AsyncGenerator[list[Any], None]:
        return grouped(generator, SECONDS_BETWEEN_GROUPS)
