"""Tokens a second of raylign's sampling path against plain `vllm.LLM.chat`: one model, one host, the same engine.

Both sides get the same prompts, engine arguments, sampling parameters and threads. They take turns in going first,
each repetition a process of its own with nothing beside it: it starts its engine, answers a batch of other prompts so
that everything is warm, and is timed from then on until the last answer is in its hands. Turning prompts into token
ids is in both times. Answers are greedy and go on past the end token, so that both sides make the same number of
tokens. The figure is the median of the neighbours' ratios: a shared host's own speed changes by a tenth within
minutes, which the engine's processor seconds for the same work show.

    python tests/benchmarks/sample_vs_vllm.py [--quick] [--out FILE.json]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from bench import ROOT, at_least, at_most, finish, in_turn, local_ray, medians, options

from raylign.config import LoopConfig, PromptsConfig
from raylign.engine import engine_environment
from raylign.model import resolve_model
from raylign.prompts.prompt_set import read_prompts
from raylign.records import Prompt
from raylign.sample import stage
from raylign.sample.drafts import sampling_parameters
from raylign.session import prepare_environment

SHARED = ROOT.parent / "shared" / "data" / "prompts.jsonl"
"""Real public prompts that lie beside some checkouts; elsewhere the project's own are used."""
LONGEST_CHARACTERS = 2000
"""A few prompts are longer than the engine's context."""


def configuration(tokens: int) -> LoopConfig:
    """The embedded run's sampling, greedy."""
    config = LoopConfig()
    config.sample.temperature, config.sample.top_p, config.sample.max_tokens = 0.0, 1.0, tokens
    return config


def prompts(path: str, config: LoopConfig, count: int) -> tuple[list[Prompt], list[Prompt]]:
    """A batch to warm up with, and others to be timed on."""
    found = read_prompts(PromptsConfig(path=path)).prompts
    short = [prompt for prompt in found if sum(len(turn["content"]) for turn in prompt.messages) <= LONGEST_CHARACTERS]
    batch = config.sample.batch_size
    assert len(short) > batch, "too few prompts to warm up with"
    return short[:batch], short[batch : batch + count]


def plain(config: LoopConfig, warm: list[Prompt], timed: list[Prompt]) -> dict[str, Any]:
    """`vllm.LLM.chat` on them."""
    arguments, engines, cores = stage.engine_settings(config), config.sample.engines_max, os.cpu_count() or 1
    os.environ.update(engine_environment(gpus=0, engines_per_host=engines, cores=cores, arguments=arguments))
    from vllm import LLM, SamplingParams

    engine = LLM(model=resolve_model(config.model), **arguments)
    parameters = SamplingParams(**sampling_parameters(config.sample), ignore_eos=True)
    engine.chat([prompt.messages for prompt in warm], parameters, use_tqdm=False)  # type: ignore[arg-type]
    began, spent = time.monotonic(), processor_seconds()
    outputs = engine.chat([prompt.messages for prompt in timed], parameters, use_tqdm=False)  # type: ignore[arg-type]
    seconds = time.monotonic() - began
    return {
        "seconds": seconds,
        **spent_since(spent),
        "tokens": sum(len(output.outputs[0].token_ids) for output in outputs),
        "prompt_tokens": sum(len(output.prompt_token_ids or ()) for output in outputs),
        "answers": len(outputs),
    }


def raylign(config: LoopConfig, warm: list[Prompt], timed: list[Prompt]) -> dict[str, Any]:
    """The stage's own dataset and engines; a gate before them opens once the first batch has come through."""
    model = resolve_model(config.model)
    tokenizer = stage.load_chat_tokenizer(model, trust_remote_code=False)
    rows = stage.engine_rows([(prompt, 0) for prompt in warm], tokenizer)
    began = time.monotonic()
    rows += stage.engine_rows([(prompt, 0) for prompt in timed], tokenizer)
    seconds = time.monotonic() - began
    first = {row["prompt_json"] for row in rows[: len(warm)]}
    with local_ray(), tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as folder:
        opened = Path(folder) / "open"

        def gate(batch: Any) -> Any:
            while batch["prompt_json"][0].as_py() not in first and not opened.exists():
                time.sleep(0.02)
            return batch

        dataset = stage.dataset_of(rows, config.sample.batch_size)
        # In one process alone: of several, Ray would end each while time is taken, for seconds of processor time.
        dataset = dataset.map_batches(gate, batch_size=None, batch_format="pyarrow", num_cpus=0.01, concurrency=1)
        dataset = stage.processor(config, model, sampling_parameters(config.sample) | {"ignore_eos": True})(dataset)
        outputs: list[dict[str, Any]] = []
        spent = processor_seconds()
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            outputs += batch.to_pylist()
            if not opened.exists() and len(outputs) >= len(warm):
                began, spent = time.monotonic(), processor_seconds()
                opened.touch()
            if len(outputs) == len(rows):  # the engine's process, and its account, end with the stream
                shares = spent_since(spent)
        seconds += time.monotonic() - began
    outputs = [output for output in outputs if output["prompt_json"] not in first]
    return {
        "seconds": seconds,
        **shares,
        "tokens": sum(output["num_generated_tokens"] for output in outputs),
        "prompt_tokens": sum(output["num_input_tokens"] for output in outputs),
        "answers": sum(not output["__inference_error__"] for output in outputs),
    }


def processor_seconds() -> tuple[float, float]:
    """Processor seconds of vLLM's engine, which does all arithmetic, and of the whole machine."""
    engine = 0.0
    for process in psutil.process_iter(["cmdline", "cpu_times"]):
        if "VLLM::" in " ".join(process.info["cmdline"] or []):
            engine += process.info["cpu_times"].user + process.info["cpu_times"].system
    times = psutil.cpu_times()
    return engine, times.user + times.nice + times.system + times.softirq


def spent_since(before: tuple[float, float]) -> dict[str, float]:
    """What the engine, and what everything beside it, has used since."""
    engine, everything = (now - then for now, then in zip(processor_seconds(), before, strict=True))
    return {"engine_cpu_seconds": engine, "other_cpu_seconds": everything - engine}


SIDES = {"vllm.LLM.chat": plain, "raylign": raylign}


def repetition(side: str, path: str, count: int, tokens: int) -> dict[str, Any]:
    """One side in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    with tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as folder:
        found, log = Path(folder) / "result.json", Path(folder) / "log"
        command = [sys.executable, __file__, "--side", side, path, str(count), str(tokens), str(found)]
        with log.open("wb") as file:
            code = subprocess.run(command, stdout=file, stderr=file, env=environment, check=False).returncode
        if code or not found.exists():
            sys.exit(f"{side} failed:\n{log.read_text()[-4000:]}")
        result: dict[str, Any] = json.loads(found.read_text())
    print(f"{side:<14}" + "".join(f"  {name} {value:,.1f}" for name, value in result.items()), flush=True)
    return result | {"tokens_per_second": result["tokens"] / result["seconds"]}


def run_side(arguments: list[str]) -> None:
    """What such a process does."""
    side, path, count, tokens, found = arguments
    prepare_environment()
    config = configuration(int(tokens))
    Path(found).write_text(json.dumps(SIDES[side](config, *prompts(path, config, int(count)))))


def main() -> None:
    """The sides in turn."""
    arguments: argparse.Namespace = options(__doc__)
    count, tokens, repetitions = (32, 16, 1) if arguments.quick else (512, 64, 5)
    path = str(SHARED) if SHARED.is_file() else "bundled"
    print(f"prompts: {path if path == 'bundled' else os.path.relpath(path, ROOT)}", flush=True)
    turns = in_turn(list(SIDES), repetitions, lambda side: repetition(side, path, count, tokens))
    theirs, ours = SIDES
    speeds = medians(turns, "tokens_per_second")
    share = statistics.median(turn[ours]["tokens_per_second"] / turn[theirs]["tokens_per_second"] for turn in turns)
    made = {
        (result["answers"], result["tokens"], result["prompt_tokens"]) for turn in turns for result in turn.values()
    }
    figures = [
        *(at_least(f"tokens a second, {side}", speed, 0) for side, speed in speeds.items()),
        at_most("repetitions that made other numbers of tokens", float(len(made) - 1), 0),
        at_least("raylign's share of the plain engine's speed", share, 0.95),
    ]
    details = {"prompts": path if path == "bundled" else SHARED.name, "tokens": tokens, "repetitions": turns}
    finish(arguments, figures, details)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        run_side(sys.argv[2:])
    else:
        main()
