"""What the benchmarks of serving share: a `raylign serve` of their own, and clients that ask it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from bench import ROOT

KEY = "key-of-the-benchmark-0123"
QUESTION = "Explain in a few sentences why the sky is blue, and why it is red in the evening."


@dataclass(frozen=True)
class Served:
    """An endpoint that runs."""

    process: subprocess.Popen[str]
    folder: Path
    url: str

    def upgrade(self, to: Path) -> subprocess.Popen[str]:
        """Start to swap the checkpoint of `aligned`."""
        command = [sys.executable, "-m", "raylign.cli", "serve", "upgrade", "--from", str(self.folder), "--to", str(to)]
        return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def environment(**variables: str) -> dict[str, str]:
    """This process's, with raylign on its path and in no Ray cluster."""
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return kept | {"PYTHONPATH": str(ROOT)} | variables


@contextmanager
def raylign_serve(models: dict[str, str], **options: object) -> Iterator[Served]:
    """`raylign serve` with keys on, as a process of its own."""
    with tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as folder:
        command = [sys.executable, "-m", "raylign.cli", "serve", "--out", folder]
        command += [part for name, source in models.items() for part in ("--model", f"{name}={source}")]
        command += [
            f"serve.{name}={value}" for name, value in {"port": 0, "api_keys_env": "BENCHMARK_KEY", **options}.items()
        ]
        process = subprocess.Popen(command, env=environment(BENCHMARK_KEY=KEY), stdout=subprocess.PIPE, text=True)
        try:
            yield Served(process, Path(folder), _url(process))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(120)
            finally:
                process.kill()


def _url(process: subprocess.Popen[str]) -> str:
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if found := re.search(r"(http://\S+) serves", line):
            return found[1]
    sys.exit(f"raylign serve did not start:\n{said}")


@dataclass
class Answer:
    """What one request came to."""

    stream: bool
    seconds: float = 0.0
    first_seconds: float | None = None
    """Until the first text of a stream."""
    tokens: int = 0
    whole: bool = False
    tries: int = 1
    error: str = ""


def client(url: str) -> openai.AsyncOpenAI:
    """One that tries nothing a second time."""
    transport = openai.DefaultAioHttpClient(trust_env=False)
    return openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=600, http_client=transport)


async def ask(to: openai.AsyncOpenAI, model: str, tokens: int, stream: bool, tries: int = 1) -> Answer:
    """One request for exactly so many tokens; asked again as a whole where it fails, up to `tries` times."""
    answer = Answer(stream)
    for attempt in range(1, tries + 1):
        answer = Answer(stream, tries=attempt)
        began = time.monotonic()
        try:
            await _ask(to, model, tokens, answer, began)
        except (openai.OpenAIError, OSError) as error:
            answer.error = repr(error)[:200]
        answer.seconds = time.monotonic() - began
        if answer.whole:
            return answer
        await asyncio.sleep(0.5)
    return answer


async def _ask(to: openai.AsyncOpenAI, model: str, tokens: int, answer: Answer, began: float) -> None:
    request: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": tokens,
        "temperature": 0,
        "extra_body": {"ignore_eos": True},
    }
    if not answer.stream:
        reply = await to.chat.completions.create(**request)
        answer.tokens = reply.usage.completion_tokens
        answer.whole = reply.choices[0].finish_reason == "length"
        return
    async for chunk in await to.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            if choice.delta.content and answer.first_seconds is None:
                answer.first_seconds = time.monotonic() - began
            answer.whole = answer.whole or choice.finish_reason == "length"
        if chunk.usage:
            answer.tokens = chunk.usage.completion_tokens
