"""Suites on a real Ray against a real HTTP server: every call counted, failures typed, a killed run goes on."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from provider import Provider
from records import make_pair, user
from suites import ifeval_lines, write_lines

from raylign.config import LoopConfig, load_config
from raylign.errors import EndpointError
from raylign.evaluate.stage import run, run_suites
from raylign.parts import PartWriter
from raylign.records import Message, Pair, Prompt, content_id
from raylign.run_folder import RunFolder
from raylign.screen import Screen

pytestmark = pytest.mark.ray
SCREEN = Screen(io.StringIO())
MODELS = ("base", "aligned", "judge")
TASKS = 12


def replies(provider: Provider) -> Any:
    """`base` uses commas, `aligned` does not; the judge prefers what has none, wherever it stands."""

    def reply(messages: list[Message]) -> str:
        text = messages[-1]["content"]
        if provider.last_model != "judge" or "one two" not in text:
            return "one, two" if provider.last_model == "base" else "one two"
        return f"Commas.\nVerdict: {'A' if text.index('one two') < text.index('one, two') else 'B'}"

    return reply


@pytest.fixture
def endpoint() -> Any:
    provider = Provider(models=MODELS)
    provider.reply = replies(provider)
    with provider:
        yield provider


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> RunFolder:
    """A run with held-out prompts and pairs, and a checkpoint that is the base model itself."""
    run_folder = RunFolder(tmp_path / "run")
    prompts = [Prompt(content_id(number), user(f"Question {number}?"), "heldout", "t") for number in range(TASKS)]
    with PartWriter(run_folder.stage("prompts"), Prompt) as writer:
        writer.add(prompts)
    pairs = [make_pair(f"Since {number}.", f"Because {number}.", id=f"pair{number}") for number in range(4)]
    with PartWriter(run_folder.stage("pairs/heldout"), Pair) as pair_writer:
        pair_writer.add(pairs)
    (run_folder.path / "checkpoint").symlink_to(tiny_model)
    write_lines(tmp_path / "ifeval.jsonl", *ifeval_lines(TASKS))
    return run_folder


def configured(endpoint: Provider, folder: RunFolder, model: Path, *overrides: str) -> LoopConfig:
    settings = [
        f"model={model}",
        f"evaluate.base_url={endpoint.url}",
        "evaluate.judge.model=judge",
        "evaluate.max_attempts=1",
        "evaluate.bootstrap_samples=300",
        f"evaluate.ifeval.path={folder.path.parent / 'ifeval.jsonl'}",
    ]
    return load_config(None, [*settings, *overrides])


def results(folder: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = folder.read_json("evaluate/suites.json")
    return found


def test_suites_run_side_by_side_and_ask_for_everything_once(
    ray_cluster: None, folder: RunFolder, tiny_model: Path, endpoint: Provider
) -> None:
    """Answers: 12 of each model to IFEval and 12 to held-out prompts; 24 verdicts. A second run asks for nothing."""
    config = configured(endpoint, folder, tiny_model)
    run_suites(config, folder, SCREEN, ["ifeval", "pairwise"])
    assert endpoint.served == {"ok": 24 + 24 + 24}
    found = results(folder)
    assert found["baseline"] == "base"
    assert found["models"]["aligned"]["weights"].startswith("sha256:")
    ifeval, pairwise = found["suites"]["ifeval"], found["suites"]["pairwise"]
    assert ifeval["metrics"]["prompt_strict"]["difference"]["aligned"]["value"] == 1.0
    assert ifeval["counts"] == {"base": {"ok": TASKS}, "aligned": {"ok": TASKS}}
    assert pairwise["metrics"]["win_rate"]["models"]["aligned"]["value"] == 1.0
    assert pairwise["judged"]["aligned"]["judge"]["position_bias"] == 0.0
    assert pairwise["judge"]["model"] == "judge"
    assert pq.read_table(folder.path / "evaluate" / "ifeval" / "rows.parquet").num_rows == 2 * TASKS
    run_suites(config, folder, SCREEN, ["pairwise"])
    assert endpoint.served == {"ok": 72}
    assert set(results(folder)["suites"]) == {"ifeval", "pairwise"}, "what ran before still stands"
    config.evaluate.suites = ["ifeval"]
    figures = run(config, folder, SCREEN)
    assert endpoint.served == {"ok": 72}, "the held-out prompts were answered under the same parameters, too"
    assert figures["change_percent"] == 0.0
    assert figures["suites"]["ifeval"]["prompt_strict"] == {"base": 0.0, "aligned": 1.0}


def test_failures_are_typed_counted_and_tried_again_next_time(
    ray_cluster: None, folder: RunFolder, tiny_model: Path, endpoint: Provider
) -> None:
    """Of 24 requests two fail for now and one is cut; next time the two are asked again, and nothing else."""
    endpoint.fault = lambda number, asked_before: {2: "error_500", 5: "error_500", 7: "truncated"}.get(number, "")
    config = configured(endpoint, folder, tiny_model, "evaluate.requests_in_flight=1")
    run_suites(config, folder, SCREEN, ["ifeval"])
    suite = results(folder)["suites"]["ifeval"]
    merged = [suite["counts"][model].get(name, 0) for name in ("server_error", "cut_off", "ok") for model in MODELS[:2]]
    assert [sum(merged[at : at + 2]) for at in (0, 2, 4)] == [2, 1, 21]
    assert all(sum(counts.values()) == TASKS for counts in suite["counts"].values())
    assert any("server_error" in note for note in suite["notes"])
    assert suite["metrics"]["prompt_strict"]["difference"]["aligned"]["rows"] >= TASKS - 2
    run_suites(config, folder, SCREEN, ["ifeval"])
    assert (endpoint.served["ok"], endpoint.served["error_500"], endpoint.served["truncated"]) == (23, 2, 1)
    assert "notes" not in results(folder)["suites"]["ifeval"]


def test_other_models_than_the_runs_own_are_told_apart_by_name_and_endpoint(
    ray_cluster: None, folder: RunFolder, tiny_model: Path, endpoint: Provider
) -> None:
    """By a suite of the user's own, named by its module and class."""
    endpoint.reply = lambda messages: "Yes, of course." if endpoint.last_model == "judge" else "No."
    config = configured(endpoint, folder, tiny_model, "evaluate.models=[judge,base]")
    run_suites(config, folder, SCREEN, ["suites:Yes"])
    found = results(folder)
    assert found["suites"]["yes"]["metrics"]["said"]["models"]["judge"]["value"] == 1.0
    assert found["suites"]["yes"]["metrics"]["said"]["models"]["base"]["value"] == 0.0
    assert (found["baseline"], list(found["models"])) == ("judge", ["judge", "base"])
    assert found["models"]["judge"]["weights"] == f"judge at {endpoint.url}"


def test_likelihoods_are_measured_without_any_endpoint(
    ray_cluster: None, folder: RunFolder, tiny_model: Path, endpoint: Provider
) -> None:
    """The checkpoint is the base model, so nothing moves: each reward is 0, and every pair counts half."""
    run_suites(configured(endpoint, folder, tiny_model), folder, SCREEN, ["heldout"])
    assert endpoint.served == {}
    suite = results(folder)["suites"]["heldout"]
    assert suite["counts"] == {"base": {"ok": 4}, "aligned": {"ok": 4}}
    assert suite["metrics"]["reward_accuracy"]["models"]["aligned"]["value"] == 0.5
    assert suite["metrics"]["logp_chosen"]["difference"]["aligned"]["value"] == 0.0
    # A random model finds each token about as likely as any other of its 49,152.
    rows = pq.read_table(folder.path / "evaluate" / "heldout" / "rows.parquet").to_pylist()
    assert all(row["logp_chosen"] == pytest.approx(-10.8 * row["chosen_tokens"], rel=0.1) for row in rows)


def test_the_budget_is_one_over_all_suites(
    ray_cluster: None, folder: RunFolder, tiny_model: Path, endpoint: Provider
) -> None:
    prices = [f"evaluate.usd_per_million_{what}_tokens=1000" for what in ("prompt", "reply")]
    config = configured(endpoint, folder, tiny_model, *prices, "evaluate.max_usd=0.2", "evaluate.max_tokens=5")
    with pytest.raises(EndpointError, match=r"evaluate\.max_usd is 0\.2"):
        run_suites(config, folder, SCREEN, ["ifeval", "pairwise"])
    asked = endpoint.served["ok"]
    assert 0 < asked < 48
    config.evaluate.max_usd = 100.0
    run_suites(config, folder, SCREEN, ["ifeval", "pairwise"])
    assert endpoint.served["ok"] == 72, "what was paid for is not asked again"
    spent = json.loads((folder.path / "evaluate" / "spend.json").read_text())["committed_usd"]
    answered = 24 * (5 + 2) + 24 * (2 + 2)  # words of prompts and answers, which are the provider's tokens
    assert spent == pytest.approx(answered * 1000 / 1e6)


def test_a_killed_run_asks_again_for_nothing_that_was_kept(folder: RunFolder, tiny_model: Path) -> None:
    """The command itself is killed midway and started again: only what was in flight is asked twice."""
    at_once = 4
    provider = Provider(models=MODELS, latency_seconds=0.25)
    provider.reply = replies(provider)
    with provider:
        command = [
            *(sys.executable, "-m", "raylign.cli", "evaluate", "--out", str(folder.path), "--suite", "ifeval"),
            *("--suite", "pairwise", f"model={tiny_model}", f"evaluate.base_url={provider.url}"),
            *(f"evaluate.ifeval.path={folder.path.parent}/ifeval.jsonl", "evaluate.judge.model=judge"),
            *(f"evaluate.requests_in_flight={at_once}", "evaluate.bootstrap_samples=300", "cluster.local_cpus=4"),
        ]
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        driver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 90
        while provider.served["ok"] < 10:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        kill(driver)
        after_kill = provider.served["ok"]
        assert after_kill < 72
        again = subprocess.run(
            [word for word in command if not word.startswith("model=")],
            env=environment, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert again.returncode == 0, again.stdout + again.stderr
        # Twice as many as are in flight: a reply's place is free again while it is being kept.
        assert 72 <= provider.served["ok"] <= 72 + 2 * at_once
        assert provider.served["ok"] == len(provider.arrivals)
    assert "ifeval    prompt_strict: base 0.000, aligned 1.000" in again.stdout
    assert "pairwise" in (folder.path / "report.html").read_text()
    summary = json.loads((folder.path / "summary.json").read_text())
    assert set(summary["suites"]) == {"ifeval", "pairwise"}


def kill(driver: "subprocess.Popen[bytes]") -> None:
    """SIGKILL the command; what it started would end by itself, in its time, and is helped on."""
    children = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.communicate()
    _, alive = psutil.wait_procs(children, timeout=20)
    for process in alive:
        process.kill()
