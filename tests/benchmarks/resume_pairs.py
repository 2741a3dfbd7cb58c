"""Pairs made under fire: what is killed on the way loses nothing and repeats nothing.

`raylign pairs` runs on 2,000 prompts, in a Ray cluster of two nodes on this machine, with a random two-layer model and
the tests' provider. By SIGKILL and at random go the driver, which is started again, reviser actors, engines, the
limiter, and the raylet of the second node, with every actor on it; a new node takes its place. At the end the drafts,
revisions, pairs and rejected rows must be exactly the expected ones, none twice; no start may have ended by itself
but well; and the provider may have been asked twice only for what was in flight at a kill.

Then 10,000 drafts that were all revised and paid for get one more, in a new run that shares the journal: that must
cost exactly one call. No engine is needed there: the drafts are written as the stage writes them.

    python tests/benchmarks/resume_pairs.py [--quick] [--out FILE.json]
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from bench import ROOT, Figure, ask, at_most, finish, options, provider
from random_model import random_llama
from two_nodes import TwoNodes, pick

from raylign.config import LoopConfig, load_config
from raylign.parts import PartWriter
from raylign.prompts.prompt_set import read_prompts
from raylign.records import Draft, canonical_json
from raylign.sample.drafts import draft_id, sampling_parameters, to_draft

KINDS = ("driver", "reviser", "engine", "limiter", "raylet")
ACTORS = {"reviser": ("ray::", "Asker"), "limiter": ("ray::LimiterActor",), "engine": ("ray::", "vLLM")}
"""What the command line of an actor to kill holds."""
SECONDS_BETWEEN = (1.0, 15.0)
LONGEST_SECONDS = 2400


def write_prompts(path: Path, count: int) -> None:
    """So many prompts; fewer are the first ones of more."""
    path.write_text("".join(json.dumps({"prompt": f"Question {number}: why?"}) + "\n" for number in range(count)))


def expected_ids(overrides: list[str]) -> set[str]:
    """The id of every draft that a run with this configuration makes."""
    config = load_config(None, overrides)
    sampling = canonical_json(sampling_parameters(config.sample))
    prompts = read_prompts(config.prompts).prompts
    return {draft_id(prompt, config.model, sampling, config.seed) for prompt in prompts}


def start(
    out: Path, overrides: list[str], log: Path, access: dict[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """`raylign pairs`, in a session of its own."""
    command = [sys.executable, "-m", "raylign.cli", "pairs", "--out", str(out), *overrides]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | (access or {})
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT, env=environment, start_new_session=True)


class Fire:
    """A run to its end, with so many kills on the way."""

    def __init__(self, cluster: TwoNodes, url: str, out: Path, overrides: list[str], kills: int) -> None:
        self.cluster, self.url, self.out, self.overrides = cluster, url, out, overrides
        self.of_each = kills // len(KINDS)
        self.left = Counter(dict.fromkeys(KINDS, self.of_each))
        self.log: list[dict[str, Any]] = []
        self.screen = out.parent / "screen.log"

    def start(self) -> None:
        """Start the driver."""
        self.driver = start(self.out, self.overrides, self.screen, self.cluster.access)

    def run(self) -> None:
        """Kill until nothing is left to kill, and wait for the end."""
        self.start()
        began = time.monotonic()
        due = began + random.uniform(*SECONDS_BETWEEN)
        while (code := self.driver.poll()) != 0:
            if time.monotonic() - began > LONGEST_SECONDS:
                sys.exit(f"the run does not end; the last it said: {self.screen.read_text()[-2000:]}")
            if code is not None:
                self.log.append({"ended_with": code, "last_words": self.screen.read_text()[-500:]})
                self.start()
            if time.monotonic() >= due and (victims := self.victims()):
                kind = max(victims, key=lambda kind: (self.left[kind], kind == "engine", random.random()))
                self.strike(kind, victims[kind])
                due = time.monotonic() + random.uniform(*SECONDS_BETWEEN)
            time.sleep(0.2)

    def victims(self) -> dict[str, Any]:
        """What there is to kill now, by kind, of the kinds that are left to kill.

        What can die while nothing is asked yet does so once: every later time finds requests on their way.
        """
        found: dict[str, Any] = {kind: pick(self.cluster.named(*words)) for kind, words in ACTORS.items()}
        found |= {"driver": self.driver, "raylet": self.cluster}
        drafting, asking = found["engine"] is not None, ask(self.url, "/count")["in_flight"] > 0
        early = {kind for kind in ("engine", "driver", "raylet") if drafting and self.left[kind] == self.of_each}
        kinds = set(KINDS) if asking else early
        return {kind: found[kind] for kind in kinds if found[kind] and self.left[kind]}

    def strike(self, kind: str, victim: Any) -> None:
        """Kill one, and put a new one in the place of what Ray does not start again."""
        entry: dict[str, Any] = {"killed": kind, "in_flight": ask(self.url, "/count")["in_flight"]}
        if kind == "driver":
            os.kill(self.driver.pid, signal.SIGKILL)
            self.driver.wait()
            self.start()
        elif kind == "raylet":
            entry["with_it"] = self.cluster.lose_second()
            self.cluster.replace_second()
        else:
            victim.kill()
        self.left[kind] -= 1
        self.log.append(entry)
        print(json.dumps(entry), flush=True)


def rows(out: Path, folder: str, column: str) -> Counter[str]:
    """How often each draft is there, in the parts of a folder and those below it."""
    found: Counter[str] = Counter()
    for part in (out / folder).rglob("part-*.parquet"):
        found.update(pq.read_table(part, columns=[column])[column].to_pylist())
    return found


def under_fire(root: Path, count: int, kills: int) -> tuple[list[Figure], dict[str, Any]]:
    """The run that is fired at, and what it left."""
    write_prompts(root / "prompts.jsonl", count)
    random_llama(root / "model", head_dim=64)  # vLLM has no smaller heads on CPU that the usual shape would have
    out = root / "run"
    with TwoNodes() as cluster, provider(latency_seconds=1.0, burst=100) as url:
        overrides = [
            f"model={root / 'model'}", f"prompts.path={root / 'prompts.jsonl'}", "sample.max_tokens=64",
            "sample.top_p=1", f"revise.base_url={url}", "revise.model=editor", "revise.actors_min=2",
            f"revise.requests_per_minute={0.3 * count:.0f}", "pairs.filters=[identical]",
            f"cluster.address={cluster.address}",
        ]  # fmt: skip
        fire = Fire(cluster, url, out, overrides, kills)
        began = time.monotonic()
        fire.run()
        seconds, provided = time.monotonic() - began, ask(url, "/count")
    expected = expected_ids(overrides)
    found = {name: rows(out, name, column) for name, column in COLUMNS.items()}
    in_flight = sum(entry.get("in_flight", 0) for entry in fire.log)
    figures = [
        at_most("drafts that are missing somewhere", float(sum(len(expected - set(f)) for f in found.values())), 0),
        at_most("drafts that nobody asked for", float(sum(len(set(f) - expected) for f in found.values())), 0),
        at_most("drafts that are twice somewhere", float(sum(f.total() - len(f) for f in found.values())), 0),
        at_most("starts that ended by themselves, and not well", float(sum("ended_with" in e for e in fire.log)), 0),
        at_most("calls repeated, for each in flight at the kills", provided["asked_twice"] / max(1, in_flight), 1),
        at_most("kills left to make", float(fire.left.total()), 0),
    ]
    details = {"seconds": round(seconds), "events": fire.log, "served": provided["served"]}
    return figures, details | {"asked_twice": provided["asked_twice"], "in_flight_at_kills": in_flight}


COLUMNS = {"drafts": "id", "revisions": "draft_id", "pairs": "draft_id"}
"""Where each draft must be found once, and under which column."""


def write_drafts(folder: Path, config: LoopConfig) -> None:
    """Drafts of all prompts, as the stage writes them."""
    with PartWriter(folder, Draft, rows_per_part=500) as writer:
        for number, prompt in enumerate(read_prompts(config.prompts).prompts):
            output = {"generated_text": f"A long answer to {number}.", "num_generated_tokens": 9, "num_input_tokens": 9}
            writer.add([to_draft(prompt, output, config.model, config.sample, config.seed)])


def one_more(root: Path, count: int) -> tuple[list[Figure], dict[str, Any]]:
    """All drafts revised, then one more of them in a run that shares the journal."""
    path, calls, seconds = root / "prompts.jsonl", [], []
    with provider(latency_seconds=0.05) as url:
        overrides = [
            f"prompts.path={path}", f"revise.base_url={url}", "revise.model=editor",
            f"revise.journal={root / 'journal'}", "revise.requests_in_flight=200",
            "revise.requests_per_minute=1000000", "pairs.filters=[identical]",
        ]  # fmt: skip
        for name, prompts in (("all", count), ("one-more", count + 1)):
            write_prompts(path, prompts)
            write_drafts(root / name / "drafts", load_config(None, overrides))
            before, began = ask(url, "/count")["arrivals"], time.monotonic()
            if start(root / name, overrides, root / "screen.log").wait():
                sys.exit((root / "screen.log").read_text()[-2000:])
            seconds.append(round(time.monotonic() - began))
            calls.append(ask(url, "/count")["arrivals"] - before)
    paired = rows(root / "one-more", "pairs", "draft_id").total()
    figures = [
        Figure(f"calls for {count} drafts", float(calls[0]), f"= {count}", calls[0] == count),
        Figure("calls for one more", float(calls[1]), "= 1", calls[1] == 1),
        Figure("rows of the run with one more", float(paired), f"= {count + 1}", paired == count + 1),
    ]
    return figures, {"calls": calls, "seconds": seconds}


def main() -> None:
    """The run under fire, then the one with one prompt more."""
    arguments = options(__doc__)
    random.seed(7)
    count, kills, done = (200, 5, 1000) if arguments.quick else (2000, 20, 10_000)
    figures, details = [], {}
    for name, part in (
        ("under_fire", lambda root: under_fire(root, count, kills)),
        ("one_more", lambda root: one_more(root, done)),
    ):
        with tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as folder:
            found, details[name] = part(Path(folder))
        figures += found
    finish(arguments, figures, details)


if __name__ == "__main__":
    main()
