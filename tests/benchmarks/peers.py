"""What the benchmarks against TRL share: pairs as token ids, and each side as a process told by pipe. This acts."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from bench import ROOT

from raylign.parts import part_paths
from raylign.records import Message, Pair
from raylign.train.allocator import allocator_environment
from raylign.train.tokens import TokenPair, encode_pairs

HERE = Path(__file__).parent
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
DAVINCI = ROOT.parent / "shared" / "data" / "davinci_pairs.jsonl"
MAX_LENGTH = 1024
"""Longest prompt and answer together, in tokens; a pair with a longer side is left out of both sides alike."""

TYPES = {"bfloat16": "bf16", "float32": "fp32"}
"""What a side is told to compute in, and what `train.dtype` calls it."""
Rows = list[dict[str, Any]]


class Side:
    """A process that holds one trainer and works only while it is asked to."""

    def __init__(self, script: str, settings: dict[str, Any]) -> None:
        python, allocator = sys.executable, allocator_environment(False, os.environ)
        if script == "trl_side.py":
            if not PEERS_PYTHON.exists():
                sys.exit("TRL is not installed: run `make bench-peers` first")
            python, allocator = str(PEERS_PYTHON), {}
        self.folder = tempfile.TemporaryDirectory(prefix="side-")
        environment = {
            **os.environ,
            **allocator,  # each side as its users have it
            "PYTHONPATH": str(ROOT),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": str(threads()),
            "TMPDIR": self.folder.name,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        }
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [python, str(HERE / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env=environment, cwd=ROOT,
        )  # fmt: skip
        self.started = self.ask("start", **settings)

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Have the process do one thing and wait for its figures."""
        self.tell(what, **arguments)
        return self.hear()

    def tell(self, what: str, **arguments: Any) -> None:
        """Have the process do one thing, and do not wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"what": what, **arguments}) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The figures of what it was told; ends the benchmark with the process's own words where it died of it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            sys.exit(f"one side died:\n{self.log.read()[-4000:]}")
        result: dict[str, Any] = json.loads(line)
        return result

    @property
    def peak_bytes(self) -> int:
        """Most memory the process has ever held."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("this system does not tell a process's peak memory")

    def close(self) -> None:
        """End the process, and remove what it left in its temporary folder."""
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


@contextmanager
def side(script: str, **settings: Any) -> Iterator[Side]:
    """One side for the length of a block."""
    made = Side(script, settings)
    try:
        yield made
    finally:
        made.close()


def listen() -> Callable[[], dict[str, Any]]:
    """In a side: take standard output for answers alone, and return the function that waits for what is asked."""
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to the log
    answer.channel = channel  # type: ignore[attr-defined]

    def asked() -> dict[str, Any]:
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        request: dict[str, Any] = json.loads(line)
        return request

    return asked


def answer(**figures: Any) -> None:
    """In a side: say what came out of the last thing asked."""
    channel = answer.channel  # type: ignore[attr-defined]
    channel.write(json.dumps(figures) + "\n")
    channel.flush()


def threads() -> int:
    """Threads that each side computes with while the other idles."""
    return len(os.sched_getaffinity(0))


def as_rows(pairs: Sequence[TokenPair]) -> Rows:
    """Pairs as both sides take them over the pipe."""
    return [asdict(pair) for pair in pairs]


def from_rows(rows: Rows) -> list[TokenPair]:
    """The inverse of `as_rows`."""
    return [
        TokenPair(row["id"], *(tuple(row[f"{name}_ids"]) for name in ("prompt", "chosen", "rejected"))) for row in rows
    ]


def longest_first(pairs: Sequence[TokenPair]) -> list[TokenPair]:
    """Sorted by the longer side, so that a padded batch holds little padding."""
    return sorted(pairs, key=lambda pair: -pair.length)


def batches_of(pairs: Sequence[TokenPair], size: int) -> list[list[TokenPair]]:
    """Whole batches in order; what is left over is not used."""
    return [list(pairs[at : at + size]) for at in range(0, len(pairs) - size + 1, size)]


def tokenise(pairs: Sequence[Pair], tokenizer: Any) -> list[TokenPair]:
    """Pairs as raylign's trainer reads them; those it drops are left out."""
    return encode_pairs(pairs, tokenizer, MAX_LENGTH).pairs


def davinci_pairs() -> list[Pair]:
    """Real pairs whose answers were written without looking at each other; none where the file is not there."""
    if not DAVINCI.exists():
        return []
    rows = [json.loads(line) for line in DAVINCI.read_text(encoding="utf-8").splitlines()]
    return [_pair(row["id"], row["prompt"], row["chosen"], row["rejected"]) for row in rows]


def clair_pairs(folder: Path | None) -> tuple[list[Pair], str]:
    """CLAIR pairs and where they come from: a run folder's store, or made here in the shape of the quickstart's."""
    if folder is None:
        return made_pairs(256), "made by this script: revisions of about 45 tokens, drafts of 96 to 140"
    store = folder / "pairs" if (folder / "pairs").is_dir() else folder
    rows = [row for path in part_paths(store / "train") for row in pq.read_table(path).to_pylist()]
    pairs = [
        replace(
            _pair(row["id"], *(row[side][-1]["content"] for side in ("prompt", "chosen", "rejected"))),
            prompt=row["prompt"],
            rejected_cut_off=row.get("rejected_cut_off", False),
        )
        for row in rows
    ]
    return pairs, f"the pairs of a run, {folder.resolve().name}"


def made_pairs(count: int, seed: int = 0) -> list[Pair]:
    """Pairs of the quickstart's shape: its own prompts, a short revision of about 45 tokens, a draft of 96 to 140."""
    bundled = ROOT / "raylign" / "prompts" / "data" / "everyday.jsonl"
    prompts = [str(json.loads(line)["prompt"]) for line in bundled.read_text(encoding="utf-8").splitlines()]
    chance = random.Random(seed)
    words = [word for prompt in prompts for word in prompt.split()]

    def text(tokens: int) -> str:
        # Words of the prompts, shuffled, take about 1.3 tokens each.
        return " ".join(chance.choice(words) for _ in range(int(tokens / 1.3)))

    return [
        _pair(str(at), prompt, text(chance.randint(30, 60)), text(chance.randint(96, 140)))
        for at, prompt in enumerate(chance.choices(prompts, k=count))
    ]


def unshareable_pairs(count: int, tokenizer: Any, seed: int = 0) -> list[TokenPair]:
    """Pairs that no sharing helps: short prompts of no common beginning, and answers of 350 to 512 tokens."""
    chance = random.Random(seed)
    size = len(tokenizer)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(chance.randrange(100, size) for _ in range(length))

    return [
        TokenPair(str(at), ids(8), ids(chance.randint(350, 512)), ids(chance.randint(350, 512))) for at in range(count)
    ]


def _pair(id_: str, prompt: str, chosen: str, rejected: str) -> Pair:
    def message(role: str, content: str) -> list[Message]:
        return [Message(role=role, content=content)]

    return Pair(
        id_, message("user", prompt), message("assistant", chosen), message("assistant", rejected), "", "train",
        "benchmark", 0.0, 1.0, 1.0, 0, "", "", "", "", "", "",
    )  # fmt: skip
