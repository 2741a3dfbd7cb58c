"""The sampling stage: Ray Data streams prompts through a pool of vLLM engines. This acts; `drafts` decides."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

from raylign.arithmetic import engine_type
from raylign.config import LoopConfig, SampleConfig
from raylign.cores import usable_cores
from raylign.engine import (
    batches_at_once,
    drafting_arguments,
    engine_arguments,
    engine_environment,
    logical_cpus_needed,
)
from raylign.errors import InputError, ModelError
from raylign.facts import cluster_waits
from raylign.model import resolve_model
from raylign.parts import PartWriter, read_records, written_ids
from raylign.records import Draft, Prompt
from raylign.room import require_room
from raylign.run_folder import RunFolder
from raylign.sample.death_watch import ended_by_deaths
from raylign.sample.drafts import OUTPUT_COLUMNS, engine_row, read_batch, sampling_parameters, waiting_samples
from raylign.sample.final_output import FINAL_OUTPUT_ONLY
from raylign.sample.speed import EngineSpeed
from raylign.screen import Screen, StageProgress
from raylign.tokenizer import load_tokenizer


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Draft `sample.samples` answers to every prompt, as far as the run has none yet; returns the stage's figures.

    Drafts reach `drafts/part-*.parquet` as they come, so a stopped stage goes on where it was.

    Raises:
        InputError: the run has no prompts.
        ModelError: the model folder is missing or has no chat template, or engines die on it without end.
        PlanError: the cluster has no room for one engine.
    """
    prompts = read_prompts(folder)
    drafts_folder = folder.stage("drafts")
    waiting = waiting_samples(prompts, config, written_ids(drafts_folder, "id"))
    total, speed = len(prompts) * config.sample.samples, EngineSpeed(time.monotonic())
    if waiting:
        with (
            screen.stage("sample", "draft", cluster_waits) as progress,
            PartWriter(drafts_folder, Draft, rows_per_part=500) as writer,
        ):
            progress.update(total - len(waiting), total, "loading the tokenizer")
            _require_room(config.sample)
            outputs = engine_outputs(config, waiting)
            progress.update(total - len(waiting), total, "starting engines")
            with ended_by_deaths(lambda: progress.done):
                _collect(outputs, config, total - len(waiting), total, writer, progress, speed)
    # The speed is this start's alone: where an earlier one drafted everything, there is none to tell.
    return draft_figures(drafts_folder) | speed.figures()


def read_prompts(folder: RunFolder) -> list[Prompt]:
    """The run's prompts.

    Raises:
        InputError: it has none.
    """
    prompts: list[Prompt] = read_records(folder.path / "prompts", Prompt)
    if not prompts:
        raise InputError(f"{folder.path}/prompts holds no prompts", "run the prompts stage first, or name prompts.path")
    return prompts


def engine_outputs(config: LoopConfig, waiting: list[tuple[Prompt, int]]) -> Any:
    """The Ray Data set of what the engines give for these samples, lazily: nothing runs until it is read.

    Raises:
        ModelError: the model folder is missing or has no chat template.
    """
    model = resolve_model(config.model)
    rows = engine_rows(waiting, load_chat_tokenizer(model, config.trust_remote_code))
    engines = processor(config, model, sampling_parameters(config.sample))
    return engines(dataset_of(rows, config.sample.batch_size))


def draft_figures(drafts_folder: Path) -> dict[str, Any]:
    """Figures of the drafts in a folder."""
    drafts: list[Draft] = read_records(drafts_folder, Draft)
    good = [draft for draft in drafts if draft.status == "ok"]
    return {
        "drafts": len(drafts),
        "status": dict(Counter(draft.status for draft in drafts)),
        "cut_off": sum(draft.cut_off for draft in good),
        "answer_tokens": sum(draft.answer_tokens for draft in good),
        "mean_answer_tokens": round(sum(draft.answer_tokens for draft in good) / max(1, len(good)), 1),
    }


def _require_room(sample: SampleConfig) -> None:
    cpus_per_engine = sample.cpus_per_engine * max(1, sample.gpus_per_engine)  # reserved beside each GPU
    require_room(
        "sampling",
        cpus=logical_cpus_needed(sample.engines_min, cpus_per_engine),
        gpus=sample.engines_min * sample.gpus_per_engine,
        cure="raise cluster.local_cpus, add nodes, or lower sample.engines_min or what each engine reserves",
    )


def engine_rows(waiting: list[tuple[Prompt, int]], tokenizer: Any) -> list[dict[str, Any]]:
    """What the engines get, in order: prompts, each with a sample index, become rows of token ids."""
    tokens = {prompt.id: _token_ids(tokenizer, prompt) for prompt, _ in waiting}
    return [engine_row(prompt, index, tokens[prompt.id]) for prompt, index in waiting]


def _token_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The prompt as the chat template renders it, which writes its own BOS: none is added to it."""
    text = tokenizer.apply_chat_template(prompt.messages, tokenize=False, add_generation_prompt=True)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def dataset_of(rows: list[dict[str, Any]], batch_size: int) -> Any:
    """Blocks of one engine batch each, so that the first drafts arrive after one batch and not at the end."""
    import ray.data

    return ray.data.from_items(rows, override_num_blocks=max(1, len(rows) // batch_size))


def _collect(
    outputs: Any,
    config: LoopConfig,
    done: int,
    total: int,
    writer: PartWriter,
    progress: StageProgress,
    speed: EngineSpeed,
) -> None:
    for block in outputs.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        batch = read_batch(block, config)
        writer.add(batch.drafts)
        done += len(batch.drafts)
        speed.add(time.monotonic(), batch.tokens, batch.longest_seconds)
        progress.update(done, total, f"{speed.tokens} tokens")


def engine_settings(config: LoopConfig) -> dict[str, Any]:
    """Arguments of each engine that drafts."""
    sample = config.sample
    return engine_arguments(
        gpus=sample.gpus_per_engine,
        dtype=engine_type(sample.gpus_per_engine),
        max_model_len=sample.max_model_len,
        seed=config.seed,
        trust_remote_code=config.trust_remote_code,
        further=drafting_arguments(sample.gpus_per_engine) | sample.engine,
    )


def processor(config: LoopConfig, model: str, parameters: dict[str, Any]) -> Any:
    """What makes a dataset of `engine_rows` one of the engines' outputs.

    Args:
        model: folder or hub id.
        parameters: vLLM sampling parameters of every request.
    """
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    sample = config.sample
    bundle: dict[str, float] = {"CPU": sample.cpus_per_engine}
    if sample.gpus_per_engine:
        bundle["GPU"] = 1
    arguments = engine_settings(config)
    settings = vLLMEngineProcessorConfig(
        model_source=model,
        engine_kwargs=arguments,
        concurrency=(sample.engines_min, sample.engines_max),
        batch_size=sample.batch_size,
        max_concurrent_batches=batches_at_once(sample.batch_size, arguments["max_num_seqs"]),
        placement_group_config={"bundles": [bundle] * max(1, sample.gpus_per_engine)},
        accelerator_type=None,
        should_continue_on_error=True,
        # Prompts come as token ids and the engine gives text: no helper stage, whose actors would each load the
        # tokenizer, hold a CPU, and add special tokens to what the template has written.
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
        log_engine_metrics=False,
        runtime_env={
            "env_vars": engine_environment(
                gpus=sample.gpus_per_engine,
                engines_per_host=sample.engines_max,
                cores=usable_cores(),
                arguments=arguments,
            )
        },
    )
    return build_processor(
        settings,
        preprocess=lambda row: {"sampling_params": parameters | {"output_kind": FINAL_OUTPUT_ONLY}},
        postprocess=lambda row: {name: row.get(name) for name in OUTPUT_COLUMNS},
        # Of the little work on either side of the engines each has one process of its own: every further one would
        # take seconds of processor time to start, which on a small machine is the engines'.
        preprocess_map_kwargs={"num_cpus": 0.25, "concurrency": sample.engines_max},
        postprocess_map_kwargs={"num_cpus": 0.25, "concurrency": sample.engines_max},
    )


def load_chat_tokenizer(model: str, trust_remote_code: bool) -> Any:
    """The model's tokenizer, which must know how to write a chat.

    Raises:
        ModelError: there is none, or it has no chat template.
    """
    tokenizer = load_tokenizer(model, trust_remote_code)
    if not tokenizer.chat_template:
        raise ModelError(f"model {model} has no chat template", "use an instruct model, or add a chat_template.jinja")
    return tokenizer
