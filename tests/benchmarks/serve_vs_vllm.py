"""Two models behind one endpoint of raylign, against plain `vllm serve` of the same two.

All four engines are up at once and two of them idle while the other side is measured, in turn. Both sides have the same
engine arguments, as many compute threads an engine, a key check, and the same client.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from bench import Turn, at_least, at_most, finish, in_turn, medians, options
from serving import KEY, Answer, ask, client, environment, raylign_serve

from raylign.arithmetic import engine_type
from raylign.config import ServeConfig
from raylign.cores import usable_cores
from raylign.model import bundled_folder
from raylign.serve.catalogue import Catalogue
from raylign.serve.host import choose_port
from raylign.serve.plan import plan_models

NAMES = ("base", "aligned")
SIDES = ("vllm serve", "raylign")
START_SECONDS = 600


@contextmanager
def vllm_serve(name: str, model: str, plan: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """`vllm serve` of one model with the engine arguments of raylign's plan; yields base URL and process id."""
    port = choose_port("127.0.0.1", 0)
    with tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as folder:
        settings, log = Path(folder) / "vllm.yaml", Path(folder) / "log"
        arguments = {key.replace("_", "-"): value for key, value in plan["engine_kwargs"].items() if value is not False}
        refused = [f"--no-{key.replace('_', '-')}" for key, value in plan["engine_kwargs"].items() if value is False]
        settings.write_text(yaml.safe_dump(arguments))
        # What `vllm serve` runs; the command itself asks for a package vllm, and the one for CPU has another name.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
        command += ["--config", str(settings), *refused]
        command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", name, "--api-key", KEY]
        variables = environment(**plan["runtime_env"]["env_vars"], VLLM_NO_USAGE_STATS="1")
        with log.open("wb") as file:
            process = subprocess.Popen(command, env=variables, stdout=file, stderr=file)
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1", process.pid
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(1)
    sys.exit(f"vllm serve did not start:\n{log.read_text()[-4000:]}")


async def measure(urls: dict[str, str], requests: int, in_flight: int, tokens: int, stream: bool) -> list[Answer]:
    """So many requests to each model, with so many in flight over both."""
    places = asyncio.Semaphore(in_flight)
    to = {url: client(url) for url in set(urls.values())}

    async def one(model: str) -> Answer:
        async with places:
            return await ask(to[urls[model]], model, tokens, stream)

    try:
        return await asyncio.gather(*(one(model) for _ in range(requests) for model in NAMES))
    finally:
        for one_client in to.values():
            await one_client.close()


def cpu_seconds(process: int) -> Counter[str]:
    """CPU seconds so far, by what the processes of a tree call themselves."""
    spent: Counter[str] = Counter()
    root = psutil.Process(process)
    for part in [root, *root.children(recursive=True)]:
        try:
            times, words = part.cpu_times(), part.cmdline() or [part.name()]
        except psutil.Error:
            continue
        name = " ".join(words)[:60] if words[0].startswith(("ray::", "VLLM::")) else Path(words[0]).name
        spent[name] += times.user + times.system
    return spent


def repetition(side: str, urls: dict[str, str], processes: list[int], scale: dict[str, int]) -> dict[str, Any]:
    """Throughput, then time to first token at eight streams; and who used the processor meanwhile."""
    before = sum((cpu_seconds(process) for process in processes), Counter())
    began = time.monotonic()
    answers = asyncio.run(measure(urls, scale["requests"], scale["in_flight"], scale["tokens"], stream=False))
    seconds = time.monotonic() - began
    spent = sum((cpu_seconds(process) for process in processes), Counter()) - before
    streams = asyncio.run(measure(urls, scale["streams"], 8, scale["tokens"], stream=True))
    firsts = [answer.first_seconds for answer in streams if answer.first_seconds is not None]
    result = {
        "tokens_per_second": sum(answer.tokens for answer in answers) / seconds,
        "first_token_ms": 1000 * statistics.mean(firsts) if firsts else float("inf"),
        "stream_seconds": statistics.mean(answer.seconds for answer in streams),
        "failed": sum(not answer.whole for answer in answers + streams),
        "errors": [asdict(answer) for answer in answers + streams if not answer.whole][:3],
        "cpu_share": {name: used / seconds for name, used in spent.most_common(8)},
    }
    shown = (f"{key} {result[key]:.1f}" for key in ("tokens_per_second", "first_token_ms", "stream_seconds"))
    print(f"{side:<12}" + "  ".join(shown), flush=True)
    return result


def main() -> None:
    """Both sides up, then in turn."""
    arguments: argparse.Namespace = options(__doc__)
    full = {"repetitions": 5, "requests": 32, "in_flight": 32, "tokens": 64, "streams": 16}
    quick = {"repetitions": 1, "requests": 2, "in_flight": 4, "tokens": 8, "streams": 4}
    scale, model = quick if arguments.quick else full, str(bundled_folder())
    plans = plan_models(Catalogue(dict.fromkeys(NAMES, model)), ServeConfig(), usable_cores(), engine_type(0))
    with ExitStack() as stack:
        plain = [stack.enter_context(vllm_serve(name, model, plan)) for name, plan in zip(NAMES, plans, strict=True)]
        served = stack.enter_context(raylign_serve(dict.fromkeys(NAMES, model)))
        sides: dict[str, tuple[dict[str, str], list[int]]] = {
            SIDES[0]: ({name: url for name, (url, _) in zip(NAMES, plain, strict=True)}, [pid for _, pid in plain]),
            SIDES[1]: (dict.fromkeys(NAMES, served.url), [served.process.pid]),
        }
        small = scale | {"requests": 4, "streams": 4, "tokens": 8}
        for side, (urls, processes) in sides.items():
            repetition(f"(warm) {side}", urls, processes, small)
        turns = in_turn(SIDES, scale["repetitions"], lambda side: repetition(side, *sides[side], scale))
    report(arguments, turns, scale)


def report(arguments: argparse.Namespace, turns: list[Turn], scale: dict[str, int]) -> None:
    """Ratios of neighbouring repetitions; where one misses its bar, who used the processor."""
    theirs, ours = SIDES
    share = statistics.median(turn[ours]["tokens_per_second"] / turn[theirs]["tokens_per_second"] for turn in turns)
    later = statistics.median(turn[ours]["first_token_ms"] - turn[theirs]["first_token_ms"] for turn in turns)
    if share < 0.85 or later > 20:
        for side, result in turns[0].items():
            print(f"processors used by {side} while it made tokens:")
            for name, used in result["cpu_share"].items():
                print(f"  {used:5.2f}  {name}")
    figures = [
        at_most("requests that failed", float(sum(result["failed"] for turn in turns for result in turn.values())), 0),
        *(
            at_least(f"tokens a second, {side}", speed, 0)
            for side, speed in medians(turns, "tokens_per_second").items()
        ),
        at_most("first token at 8 streams: later by, ms", later, 20),
        at_least("share of plain vllm serve's tokens a second", share, 0.85),
    ]
    finish(arguments, figures, {"scale": scale, "repetitions": turns})


if __name__ == "__main__":
    main()
