"""The whole loop as a user gets it: a wheel is built and installed, one command runs every stage for real on CPU."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

pytestmark = pytest.mark.loop
ROOT = Path(__file__).parent.parent.parent
SMALL = (
    "prompts.limit=24",
    "prompts.heldout_share=0.3",
    "sample.max_tokens=40",
    "revise.max_tokens=48",
    "evaluate.max_tokens=48",
    "evaluate.bootstrap_samples=500",
    "train.batch_size=4",
    "train.micro_batch_size=4",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds nothing but the installed wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--quiet",
        "--target",
        str(folder / "site"),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, text=True)
    return folder / "site"


def start_loop(site: Path, out: Path, *overrides: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "raylign.cli", "loop", "--out", str(out), *SMALL, *overrides],
        cwd=out.parent,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | {"PYTHONPATH": str(site)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float) -> tuple[int, str, str]:
    try:
        out, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out, error


@pytest.fixture(scope="module")
def loop_run(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run that was stopped with Ctrl-C while it sampled, and what the second start printed."""
    out = tmp_path_factory.mktemp("loop") / "run"
    stopped = start_loop(installed, out)
    deadline = time.monotonic() + 120
    while not (out / "drafts").is_dir() and time.monotonic() < deadline:
        assert stopped.poll() is None, stopped.communicate()
        time.sleep(0.2)
    time.sleep(3)
    os.kill(stopped.pid, signal.SIGINT)
    code, _, error = finish(stopped, 90)
    assert code == 130, error
    assert "goes on from here" in error
    assert "Traceback" not in error
    code, printed, error = finish(start_loop(installed, out), 900)
    assert code == 0, printed + error
    return out, printed


@pytest.fixture(scope="module")
def summary(loop_run: tuple[Path, str]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((loop_run[0] / "summary.json").read_text())
    return loaded


def test_every_row_is_accounted_for(summary: dict[str, Any], loop_run: tuple[Path, str]) -> None:
    assert summary["prompts"] == summary["drafts"] == 24
    assert summary["drafts"] == summary["pairs"] + sum(summary["rejected"].values())
    for split in ("train", "heldout"):
        rows = ds.dataset(loop_run[0] / "pairs" / split).count_rows()
        assert rows > 0, split


def test_training_started_at_the_reference_and_moved(summary: dict[str, Any], loop_run: tuple[Path, str]) -> None:
    assert summary["train"]["objective"] == "apo_zero + 4·sft"
    lines = [json.loads(line) for line in (loop_run[0] / "metrics.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["stage"] == "train" and "loss" in line)
    assert first["loss/apo_zero"] == pytest.approx(1.0, abs=0.02)
    assert first["loss"] == pytest.approx(first["loss/apo_zero"] + 4 * first["loss/sft"], rel=1e-5)
    assert summary["train"]["loss_first"] == pytest.approx(first["loss/apo_zero"], rel=1e-5)
    assert summary["train"]["steps"] >= 2
    assert 0 <= summary["heldout"]["reward_accuracy"] <= 1


def test_evaluation_compares_both_models(summary: dict[str, Any]) -> None:
    evaluate = summary["evaluate"]
    low, high = evaluate["ci95"]
    assert low <= evaluate["change_percent"] <= high
    assert evaluate["tokens_base"] > 0
    assert evaluate["tokens_aligned"] > 0
    assert set(evaluate["guards"]) == {"empty_share", "repeated_4grams", "logprob_under_base"}
    assert evaluate["guards"]["logprob_under_base"] < 0


def test_the_aligned_model_differs_and_loads(loop_run: tuple[Path, str], bundled_model: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = loop_run[0] / "checkpoint"
    aligned, base = (AutoModelForCausalLM.from_pretrained(path) for path in (folder, bundled_model))
    changed = [
        name
        for (name, new), old in zip(aligned.named_parameters(), base.parameters(), strict=True)
        if not new.equal(old)
    ]
    assert changed
    assert (
        AutoTokenizer.from_pretrained(folder).chat_template
        == AutoTokenizer.from_pretrained(bundled_model).chat_template
    )


def test_the_screen_shows_stages_and_not_third_party_noise(loop_run: tuple[Path, str]) -> None:
    _, printed = loop_run
    for stage in ("sample", "revise", "pairs", "train", "evaluate"):
        assert f"{stage:<9} done in" in printed
    lines = printed.splitlines()
    assert len(lines) < 80, printed
    assert not [line for line in lines if "WARNING" in line or "INFO" in line or "Traceback" in line]


def test_the_report_is_one_page_of_the_run(loop_run: tuple[Path, str], summary: dict[str, Any]) -> None:
    page = (loop_run[0] / "report.html").read_text()
    assert f"{abs(summary['evaluate']['change_percent']):.1f}"[:2] in page
    assert "<script src" not in page


def test_a_second_run_repeats_nothing(installed: Path, loop_run: tuple[Path, str]) -> None:
    out, _ = loop_run
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/done.json")}
    started = time.monotonic()
    code, printed, error = finish(start_loop(installed, out), 60)
    assert code == 0, error
    assert printed.count("skipped") == 6
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/done.json")} == before
    assert time.monotonic() - started < 60


def test_another_configuration_is_refused(installed: Path, loop_run: tuple[Path, str]) -> None:
    code, _, error = finish(start_loop(installed, loop_run[0], "train.beta=0.2"), 60)
    assert code == 2
    assert "train.beta: 0.3 there, 0.2 here" in error


def test_suites_run_on_the_finished_run_and_change_nothing_else_in_it(
    installed: Path, loop_run: tuple[Path, str], summary: dict[str, Any]
) -> None:
    """Both models are served again and judged by the base model; its verdicts need not be readable, but are counted."""
    out, own = loop_run[0], loop_run[0].parent / "own.jsonl"
    own.write_text('{"prompt": "What is 2 plus 3?", "regex": "5|five"}\n{"prompt": "Say yes.", "exact": "yes"}\n')
    config, done = (out / "config.yaml").read_text(), json.loads((out / "evaluate" / "done.json").read_text())
    suites = [word for name in ("custom", "pairwise", "heldout") for word in ("--suite", name)]
    settings = [f"evaluate.custom.path={own}", "evaluate.judge.model=base", "evaluate.prompts=3"]
    command = [sys.executable, "-m", "raylign.cli", "evaluate", "--out", str(out), *suites, *settings]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = str(installed)
    process = subprocess.Popen(
        [*command, "evaluate.judge.max_tokens=48"],
        cwd=out.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    code, printed, error = finish(process, 400)
    assert code == 0, printed + error
    found = json.loads((out / "evaluate" / "suites.json").read_text())["suites"]
    assert {model: sum(counts.values()) for model, counts in found["custom"]["counts"].items()} == {
        "base": 2, "aligned": 2,
    }  # fmt: skip
    assert sum(found["pairwise"]["judged"]["aligned"]["outcomes"].values()) == 3
    rewards = found["heldout"]["metrics"]
    trained = summary["heldout"]
    assert rewards["reward_margin"]["models"]["aligned"]["value"] == pytest.approx(trained["reward_margin"], abs=0.25)
    assert "Likelihood movement to aligned" in (out / "report.html").read_text()
    assert (out / "config.yaml").read_text() == config
    after = json.loads((out / "evaluate" / "done.json").read_text())
    assert {name: after[name] for name in done} == done


def test_nothing_of_the_run_is_left_running(loop_run: tuple[Path, str]) -> None:
    import psutil

    left = [
        process.info
        for process in psutil.process_iter(["pid", "cmdline"])
        if any(str(loop_run[0]) in argument for argument in process.info["cmdline"] or [])
    ]
    assert left == []
