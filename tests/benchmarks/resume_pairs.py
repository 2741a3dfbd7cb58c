"""Pairs made under fire: SIGKILLs of driver, reviser actors, engine and limiter lose nothing and repeat nothing.

`raylign pairs` runs on 2,000 prompts with a random two-layer model and the tests' provider. Processes are killed at
random; a killed driver is started again. At the end the pairs and rejected rows must hold exactly the expected drafts,
none twice, and the provider may have been asked twice only for requests that were in flight at a kill. Then one prompt
is added to the finished ones in a new run that shares the journal: that must cost exactly one call.

    python tests/benchmarks/resume_pairs.py [--quick] [--out FILE.json]
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from bench import ROOT, ask, at_most, finish, options, provider

VICTIMS = {
    "reviser": ("ray::", "Reviser"),
    "limiter": ("ray::LimiterActor",),
    "engine": ("ray::", "vLLM"),
}
"""What the command line of a process to kill holds; the driver is the process that was started here."""


def tiny_model(folder: Path) -> None:
    """A random two-layer model with the bundled tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from raylign.model import bundled_folder

    tokenizer = AutoTokenizer.from_pretrained(bundled_folder())
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def start(out: Path, prompts: Path, journal: Path, model: Path, url: str) -> subprocess.Popen[bytes]:
    """`raylign pairs`, in a session of its own."""
    settings = {
        "model": model, "prompts.path": prompts, "sample.max_tokens": 8, "revise.base_url": url,
        "revise.model": "editor", "revise.journal": journal, "revise.requests_in_flight": 32, "revise.actors_min": 2,
        "revise.requests_per_minute": 1200, "pairs.filters": "[identical]",
    }  # fmt: skip
    command = [sys.executable, "-m", "raylign.cli", "pairs", "--out", str(out)]
    command += [f"{name}={value}" for name, value in settings.items()]
    log = (out.parent / "screen.log").open("ab")
    return subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)


def family(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The driver's processes, its Ray included."""
    try:
        return psutil.Process(driver.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def victim(driver: subprocess.Popen[bytes], kind: str) -> psutil.Process | None:
    """A process of this kind, if one runs."""
    found = []
    for process in family(driver):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if all(word in line for word in VICTIMS[kind]):
            found.append(process)
    return random.choice(found) if found else None


def end(driver: subprocess.Popen[bytes]) -> None:
    """SIGKILL the driver; what it started would end by itself, in its time, and is helped on."""
    started = family(driver)
    driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(started, timeout=20)
    for process in alive:
        process.kill()


def under_fire(out: Path, kills: int, arguments: tuple[Path, Path, Path, str]) -> dict[str, Any]:
    """Run to the end, with so many kills on the way."""
    url, log = arguments[3], []
    driver = start(out, *arguments)
    plan = [["reviser", "driver", "limiter", "engine"][number % 4] for number in range(kills)]
    wait = time.monotonic() + random.uniform(15, 30)
    deadline = time.monotonic() + 2400
    while (code := driver.poll()) is None or code != 0:
        assert time.monotonic() < deadline, "the run does not end"
        if code is not None:
            driver = start(out, *arguments)
            log.append({"restart_after_exit": code})
        if plan and time.monotonic() >= wait:
            kind = plan[0]
            target = driver if kind == "driver" else victim(driver, kind)
            busy = ask(url, "/count")["arrivals"] > 0
            if target is not None and (busy or kind == "engine"):
                in_flight = ask(url, "/count")["in_flight"]
                if kind == "driver":
                    end(driver)
                    driver = start(out, *arguments)
                else:
                    os.kill(target.pid, signal.SIGKILL)
                log.append({"killed": kind, "in_flight": in_flight})
                plan.pop(0)
                wait = time.monotonic() + (random.uniform(12, 25) if kind == "driver" else random.uniform(1, 5))
            elif kind == "engine" and busy:
                plan.append(plan.pop(0))
        time.sleep(0.2)
    return {"kills": log, "left": plan}


def ids(out: Path) -> Counter[str]:
    """The draft of every pair and rejected row."""
    found: Counter[str] = Counter()
    for part in (out / "pairs").glob("*/part-*.parquet"):
        found.update(pq.read_table(part, columns=["draft_id"])["draft_id"].to_pylist())
    return found


def main() -> None:
    """The run under fire, then the one with one prompt more."""
    arguments = options(__doc__)
    random.seed(7)
    count, kills = (200, 4) if arguments.quick else (2000, 20)
    root = Path(tempfile.mkdtemp(prefix="raylign-benchmark-"))
    model, prompts, out = root / "model", root / "prompts.jsonl", root / "run"
    tiny_model(model)
    lines = [json.dumps({"prompt": f"Question {number}: why?"}) for number in range(count + 1)]
    prompts.write_text("\n".join(lines[:count]) + "\n")
    with provider(latency_seconds=1.0, burst=100) as url:
        fired = under_fire(out, kills, (prompts, root / "journal", model, url))
        after = ask(url, "/count")
        found = ids(out)
        drafts = {
            id_ for part in (out / "drafts").glob("part-*.parquet") for id_ in pq.read_table(part)["id"].to_pylist()
        }
        # One prompt more: the drafts are taken over, so that the prompts before it are asked the same.
        prompts.write_text("\n".join(lines) + "\n")
        more = root / "more"
        shutil.copytree(out / "drafts", more / "drafts", ignore=shutil.ignore_patterns("done.json"))
        assert start(more, prompts, root / "journal", model, url).wait() == 0
        calls = ask(url, "/count")["arrivals"] - after["arrivals"]
    in_flight = sum(kill.get("in_flight", 0) for kill in fired["kills"])
    figures = [
        at_most("drafts missing", float(count - len(drafts & set(found))), 0),
        at_most("drafts twice", float(sum(found.values()) - len(found)), 0),
        at_most("calls repeated, for each in flight at the kills", after["asked_twice"] / max(1, in_flight), 1),
        at_most("kills left to make", float(len(fired["left"])), 0),
        at_most("calls for one prompt more", float(calls), 1),
    ]
    details = {**fired, "served": after["served"], "asked_twice": after["asked_twice"], "in_flight_at_kills": in_flight}
    shutil.rmtree(root, ignore_errors=True)
    finish(arguments, figures, details)


if __name__ == "__main__":
    main()
