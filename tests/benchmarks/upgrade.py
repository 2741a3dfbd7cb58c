"""A checkpoint swapped, broken ones refused and a replica killed, each under load, with one replica of the model.

In all but the last part no client tries anything twice; in that one each asks again, as a whole, up to three times.
"""

import argparse
import asyncio
import os
import shutil
import signal
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from bench import at_least, at_most, finish, options
from safetensors.torch import load_file, save_file
from serving import Answer, Served, ask, client, raylign_serve

from raylign.model import bundled_folder

IN_FLIGHT = 8
CUT = "weights cut off"
"""Refused by a look at the file; what else is broken shows in a replica that starts, and is rolled back."""


@dataclass
class Load:
    """Requests without pause, every other one a stream, until told to stop."""

    url: str
    tokens: int
    tries: int = 1
    answers: list[Answer] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    """When each was answered, on the monotonic clock."""

    async def run(self, stop: asyncio.Event) -> None:
        """Keep so many in flight."""
        to = client(self.url)
        try:
            await asyncio.gather(*(self._one(to, number, stop) for number in range(IN_FLIGHT)))
        finally:
            await to.close()

    async def _one(self, to: Any, number: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            answer = await ask(to, "aligned", self.tokens, stream=number % 2 == 0, tries=self.tries)
            self.answers.append(answer)
            self.ended.append(time.monotonic())
            number += 1

    @property
    def failed(self) -> list[Answer]:
        """Those that no try answered."""
        return [answer for answer in self.answers if not answer.whole]


async def swap(served: Served, to: Path, tokens: int, requests: int) -> tuple[Load, int, str, float]:
    """An upgrade in the midst of at least so many requests: the load, exit code and words of it, and its seconds."""
    load, stop = Load(served.url, tokens), asyncio.Event()
    asking = asyncio.create_task(load.run(stop))
    await _until(lambda: len(load.answers) >= requests // 5, asking)
    began, process = time.monotonic(), served.upgrade(to)
    words, _ = await asyncio.to_thread(process.communicate)
    seconds, enough = time.monotonic() - began, max(requests, len(load.answers) + 2 * IN_FLIGHT)
    await _until(lambda: len(load.answers) >= enough, asking)
    stop.set()
    await asking
    return load, process.returncode, words, seconds


async def kill(served: Served, tokens: int) -> tuple[Load, float]:
    """The replica of `aligned` and its engine killed under load; seconds until an answer came from another one."""
    load, stop = Load(served.url, tokens, tries=3), asyncio.Event()
    asking = asyncio.create_task(load.run(stop))
    await _until(lambda: len(load.answers) >= IN_FLIGHT, asking)
    for process in replica(served):
        process.send_signal(signal.SIGKILL)
    began = time.monotonic()
    await _until(
        lambda: any(at > began + 1 for at, one in zip(load.ended, load.answers, strict=True) if one.whole), asking
    )
    recovered = min(at for at, one in zip(load.ended, load.answers, strict=True) if one.whole and at > began + 1)
    enough = len(load.answers) + 2 * IN_FLIGHT
    await _until(lambda: len(load.answers) >= enough, asking)
    stop.set()
    await asking
    return load, recovered - began


def replica(served: Served) -> list[psutil.Process]:
    """The replica of `aligned` and what it started, engine last: found among the processes of this very endpoint."""
    for process in psutil.Process(served.process.pid).children(recursive=True):
        if "ServeReplica:raylign:LLMServer:aligned" in " ".join(process.cmdline()):
            return [process, *process.children(recursive=True)]
    raise RuntimeError("the replica of aligned was not found among the endpoint's processes")


async def _until(holds: Any, asking: asyncio.Task[None]) -> None:
    while not holds():
        if asking.done():
            asking.result()
        await asyncio.sleep(0.2)


def checkpoints(folder: Path, model: Path) -> tuple[Path, dict[str, Path]]:
    """A checkpoint with the same weights in another place, and broken ones by what is wrong with them."""
    good, cut, shape, nan = (Path(shutil.copytree(model, folder / name)) for name in ("good", "cut", "shape", "nan"))
    os.truncate(cut / "model.safetensors", (cut / "model.safetensors").stat().st_size // 3)
    tensors = load_file(nan / "model.safetensors")
    norm = tensors["model.norm.weight"]
    for place, weights in ((shape, norm[:7].clone()), (nan, norm * float("nan"))):
        save_file(tensors | {"model.norm.weight": weights}, place / "model.safetensors", {"format": "pt"})
    return good, {CUT: cut, "weights of another shape": shape, "weights not numbers": nan}


def _turned_away(kind: str, code: int, words: str) -> bool:
    return code == 2 and ("cut off or damaged" in words if kind == CUT else "rolled back" in words)


def main() -> None:
    """All parts on one endpoint."""
    arguments: argparse.Namespace = options(__doc__)
    requests, tokens = (40, 16) if arguments.quick else (1000, 48)
    with tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as folder:
        good, broken = checkpoints(Path(folder), bundled_folder())
        with raylign_serve({"aligned": str(bundled_folder())}) as served:
            swapped, code, words, seconds = asyncio.run(swap(served, good, tokens, requests))
            print(f"swap: {len(swapped.answers)} requests, {words.strip()}", flush=True)
            refused = {kind: asyncio.run(swap(served, one, tokens, requests // 10)) for kind, one in broken.items()}
            for kind, (load, _, words, _) in refused.items():
                print(f"{kind}: {len(load.answers)} requests, {words.strip()}", flush=True)
            killed, recovery = asyncio.run(kill(served, tokens))
            print(f"killed: {len(killed.answers)} requests", flush=True)
    cut = [answer for answer in swapped.failed if answer.stream]
    figures = [
        at_least("swap: it happened", float(code == 0), 1),
        at_least("swap: requests", len(swapped.answers), requests),
        at_most("swap: failed requests", len(swapped.failed) - len(cut), 0),
        at_most("swap: cut streams", len(cut), 0),
        at_most("swap: seconds until the new one served", seconds, float("inf")),
        at_most("killed replica: requests asked again", sum(one.tries > 1 for one in killed.answers), float("inf")),
        at_most("killed replica: seconds to the next answer", recovery, float("inf")),
        at_most("killed replica: requests that three tries did not save", len(killed.failed), 0),
    ]
    for kind, (load, code, words, _) in refused.items():
        figures += [
            at_least(
                f"{kind}: {'refused' if kind == CUT else 'rolled back'}", float(_turned_away(kind, code, words)), 1
            ),
            at_most(f"{kind}: failed requests", len(load.failed), 0),
        ]
    loads = [swapped, killed, *(load for load, *_ in refused.values())]
    failed = [asdict(answer) for load in loads for answer in load.failed]
    finish(arguments, figures, {"tokens": tokens, "in_flight": IN_FLIGHT, "failed": failed[:20]})


if __name__ == "__main__":
    main()
