"""What a draft is made of: the parameters that identify it and the row an output becomes. Pure."""

import json
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from raylign.config import LoopConfig, SampleConfig
from raylign.records import Draft, Prompt, canonical_json, content_id

_TAKEN = "time_taken_llm"
"""Seconds that a prompt spent in its engine."""
OUTPUT_COLUMNS = (
    "prompt_json",
    "sample_index",
    "generated_text",
    "num_generated_tokens",
    "num_input_tokens",
    "__inference_error__",
    _TAKEN,
)
"""Of an engine's output, what is kept."""


@dataclass(frozen=True)
class Batch:
    """The drafts of one block of engine outputs."""

    drafts: list[Draft]
    longest_seconds: float
    """The longest generation among them."""

    @property
    def tokens(self) -> int:
        """Tokens generated for them."""
        return sum(draft.answer_tokens for draft in self.drafts)


def sampling_parameters(sample: SampleConfig) -> dict[str, Any]:
    """vLLM sampling parameters. The seed belongs to the engine, not the request (a CPU engine may die of that)."""
    return {"max_tokens": sample.max_tokens, "temperature": sample.temperature, "top_p": sample.top_p}


def draft_id(prompt: Prompt, model: str, sampling: str, seed: int, sample_index: int = 0) -> str:
    """The draft's id: the same prompt, model, parameters and seed name the same draft on any cluster."""
    return content_id("draft", prompt.id, model, sampling, seed, sample_index)


def waiting_samples(prompts: Sequence[Prompt], config: LoopConfig, drafted: Set[str]) -> list[tuple[Prompt, int]]:
    """What is to be sampled still: prompts with a sample index each, 0 to `sample.samples` − 1.

    The samples of a prompt stand side by side. One engine then draws them, mostly in one batch, from its one random
    generator; two engines start with the same seed and might draw the same for two samples in the same place.
    """
    sampling = canonical_json(sampling_parameters(config.sample))
    return [
        (prompt, index)
        for prompt in prompts
        for index in range(config.sample.samples)
        if draft_id(prompt, config.model, sampling, config.seed, index) not in drafted
    ]


def engine_row(prompt: Prompt, sample_index: int, token_ids: list[int]) -> dict[str, Any]:
    """What an engine gets for one draft. The prompt travels along whole, so that a draft can be made anywhere."""
    return {"prompt_json": json.dumps(asdict(prompt)), "sample_index": sample_index, "tokenized_prompt": token_ids}


def read_batch(outputs: pa.Table, config: LoopConfig) -> Batch:
    """The drafts of a block of engine outputs, in order; failed ones may lack columns."""
    rows = outputs.select([name for name in OUTPUT_COLUMNS if name in outputs.column_names]).to_pylist()
    drafts = [
        to_draft(
            Prompt(**json.loads(row["prompt_json"])), row, config.model, config.sample, config.seed, row["sample_index"]
        )
        for row in rows
    ]
    return Batch(drafts, max((float(row.get(_TAKEN) or 0) for row in rows), default=0.0))


def to_draft(
    prompt: Prompt, output: dict[str, Any], model: str, sample: SampleConfig, seed: int, sample_index: int = 0
) -> Draft:
    """The row of one engine output.

    `output` holds `generated_text`, `num_generated_tokens`, `num_input_tokens` and `__inference_error__`; a failed
    generation has the last one non-empty. The engine gives no finish reason, so a draft that used up its tokens
    counts as cut off.
    """
    error = str(output.get("__inference_error__") or "")
    sampling = canonical_json(sampling_parameters(sample))
    tokens = int(output.get("num_generated_tokens") or 0)
    return Draft(
        id=draft_id(prompt, model, sampling, seed, sample_index),
        prompt_id=prompt.id,
        messages=prompt.messages,
        split=prompt.split,
        source=prompt.source,
        answer="" if error else str(output.get("generated_text") or ""),
        model=model,
        sampling=sampling,
        sample_index=sample_index,
        prompt_tokens=int(output.get("num_input_tokens") or 0),
        answer_tokens=tokens,
        cut_off=not error and tokens >= sample.max_tokens,
        status="engine_error" if error else "ok",
        detail=error,
    )
