"""Sampling and revising overlap with a real engine: revisions come early, and a killed run pays for nothing twice."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from provider import Provider

from raylign.parts import read_records, written_ids
from raylign.records import Draft, Revision

pytestmark = pytest.mark.loop
COUNT = 100


@contextmanager
def started(out: Path, model: Path, prompts: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """`raylign pairs` with an engine that takes four prompts at a time; killed at the end where it still runs."""
    settings = {
        "model": model, "prompts.path": prompts, "sample.max_tokens": 24, "sample.batch_size": 4,
        "sample.max_model_len": 128, "sample.engine": "{max_num_seqs: 4}", "revise.base_url": url,
        "revise.model": "editor", "revise.requests_in_flight": 8, "revise.actors_max": 1,
        "pairs.filters": "[identical]",
    }  # fmt: skip
    command = [sys.executable, "-m", "raylign.cli", "pairs", "--out", str(out)]
    command += [f"{name}={value}" for name, value in settings.items()]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    with (out.parent / "screen.log").open("ab") as log:
        driver = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        yield driver
    finally:
        kill(driver)


def kill(driver: subprocess.Popen[bytes]) -> None:
    """SIGKILL the driver; what it started would end by itself, in its time, and is helped on."""
    if driver.poll() is not None:
        return
    children = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    for process in alive:
        process.kill()


def test_a_run_killed_on_the_way_asks_again_for_nothing_that_was_kept(tmp_path: Path, tiny_engine_model: Path) -> None:
    out, prompts = tmp_path / "run", tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Question {number}: why?"}) + "\n" for number in range(COUNT)))
    with Provider(latency_seconds=0.3) as provider:
        with started(out, tiny_engine_model, prompts, provider.url) as driver:
            deadline = time.monotonic() + 400
            while provider.served["ok"] < 24:
                assert driver.poll() is None, (tmp_path / "screen.log").read_text()
                assert time.monotonic() < deadline, "no revision came"
                time.sleep(0.02)
            drafted = written_ids(out / "drafts", "id")
            in_flight = provider.in_flight
        assert 0 < len(drafted) < COUNT, "revisions came before the last draft"
        assert not (out / "drafts" / "done.json").exists()
        answered = Counter(provider.asked)

        with started(out, tiny_engine_model, prompts, provider.url) as driver:
            assert driver.wait(timeout=600) == 0, (tmp_path / "screen.log").read_text()
        repeated = sum(provider.asked[text] - count for text, count in answered.items())
        assert repeated <= in_flight + 8, "only what was on its way at the kill"
    drafts: list[Draft] = read_records(out / "drafts", Draft)
    revisions: list[Revision] = read_records(out / "revisions", Revision)
    texts = {draft.id: draft.answer for draft in drafts}
    assert drafted <= set(texts), "no draft that was on disk is made again"
    assert len(drafts) == len(texts) == COUNT
    assert Counter(row.draft_id for row in revisions) == Counter(id_ for id_, text in texts.items() if text.strip())
    assert all(row.answer == texts[row.draft_id] and row.status == "ok" for row in revisions)
    assert len(provider.asked) == len(revisions), "no draft that was asked about was lost"
