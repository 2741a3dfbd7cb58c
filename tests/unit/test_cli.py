"""Bad input gets one line that says what is wrong and how to mend it, exit code 2, and leaves nothing half-written."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from provider import Provider

from raylign.config import LoopConfig
from raylign.plan.stage import marks
from raylign.run_folder import RunFolder


def raylign(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "raylign.cli", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
    )


def assert_refused(run: subprocess.CompletedProcess[str], *named: str) -> None:
    assert run.returncode == 2, run.stderr
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    for words in named:
        assert words in run.stderr


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_missing_model_folder(out: Path) -> None:
    assert_refused(raylign("loop", "--out", str(out), "model=/no/such/model"), "/no/such/model", "hub id")
    assert not out.exists()


def test_unreachable_reviser(out: Path) -> None:
    port = free_port()
    run = raylign("pairs", "--out", str(out), f"revise.base_url=http://127.0.0.1:{port}/v1", "revise.model=editor")
    assert_refused(run, str(port))
    assert not out.exists()


def test_key_variable_that_is_not_set(out: Path) -> None:
    run = raylign(
        "pairs",
        "--out",
        str(out),
        "revise.base_url=http://127.0.0.1:9/v1",
        "revise.model=editor",
        "revise.api_key_env=NO_SUCH_KEY_VARIABLE",
    )
    assert_refused(run, "NO_SUCH_KEY_VARIABLE")
    assert not out.exists()


def test_empty_prompt_file(out: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    run = raylign("pairs", "--out", str(out), f"prompts.path={tmp_path / 'empty.jsonl'}")
    assert_refused(run, "empty.jsonl")
    assert not out.exists()


def test_missing_prompt_file(out: Path) -> None:
    assert_refused(raylign("pairs", "--out", str(out), "prompts.path=/no/such/prompts.jsonl"), "/no/such/prompts.jsonl")
    assert not out.exists()


def test_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(raylign("loop", "--out", str(tmp_path / "file" / "run")), "--out")


def test_unknown_objective(out: Path) -> None:
    assert_refused(raylign("train", "--out", str(out), "train.objective=ppo"), "ppo", "apo_zero")
    assert not out.exists()


def test_training_without_pairs(out: Path) -> None:
    assert_refused(raylign("train", "--out", str(out)), "pairs")
    assert not out.exists()


@pytest.mark.parametrize("options", [["train", "--recommend"], ["sweep", "--over", "train.beta=0.1,0.3"]])
def test_pairs_that_are_missing_are_missed_before_a_folder_is_made(options: list[str], out: Path) -> None:
    assert_refused(raylign(*options, "--out", str(out)), f"no pairs in {out / 'pairs' / 'train'}")
    assert not out.exists()


@pytest.mark.parametrize("over", ["train.objective=apo_zero,ppo", "train.bet=0.1,0.3", "train.beta=0.1,-1"])
def test_one_wrong_point_refuses_the_whole_sweep(over: str, out: Path) -> None:
    assert_refused(raylign("sweep", "--out", str(out), "--over", over), over.partition("=")[0])
    assert not out.exists()


@pytest.mark.parametrize(
    ("command", "override", "named"),
    [
        ("pairs", "cluster.local_cpus=1", "cluster.local_cpus=2"),
        ("loop", "train.cpus_per_worker=9", "cluster.local_cpus=9"),
        ("loop", "revise.journal=/dev/null/journal", "revise.journal"),
        ("pairs", "cluster.address=127.0.0.1:9", "no Ray cluster answers at 127.0.0.1:9"),
    ],
)
def test_what_can_never_run_is_refused_within_ten_seconds(command: str, override: str, named: str, out: Path) -> None:
    started = time.monotonic()
    assert_refused(raylign(command, "--out", str(out), override, "serve.port=0"), named)
    assert time.monotonic() - started < 10
    assert not out.exists()


def test_a_plan_is_refused_as_a_run_is_and_leaves_no_folder(tmp_path: Path) -> None:
    endpoint = [f"revise.base_url=http://127.0.0.1:{free_port()}/v1", "revise.model=editor"]
    assert_refused(raylign("plan", *endpoint, TMPDIR=str(tmp_path)), "127.0.0.1")
    assert list(tmp_path.glob("raylign-plan-*")) == []


def test_a_plan_by_too_few_prompts() -> None:
    assert_refused(raylign("plan", "--sample", "3"), "--sample is 3", "at least 8")


def test_serving_a_folder_that_is_no_run(tmp_path: Path) -> None:
    assert_refused(raylign("serve", "--from", str(tmp_path)), "not a run folder")


@pytest.mark.parametrize("command", [("report",), ("serve", "--from")])
def test_a_folder_of_a_plan_is_named_as_such(command: tuple[str, ...], tmp_path: Path) -> None:
    RunFolder.open(tmp_path, LoopConfig(), [], marks(16)).close()
    assert_refused(raylign(*command, str(tmp_path)), "the folder of a plan", "plan.json")
    assert not (tmp_path / "report.html").exists()


def test_an_import_needs_no_model_no_reviser_and_no_cluster(out: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {n}?", "chosen": f"Answer number {n}.", "rejected": "No idea."} for n in range(20)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ("pairs.source=offpolicy", f"offpolicy.path={path}", "model=/no/such/model")
    run = raylign("pairs", "--out", str(out), *settings)
    assert run.returncode == 0, run.stderr
    assert "20 from 20 imported rows; 0 rejected" in run.stdout
    assert sorted(folder.name for folder in out.iterdir() if folder.is_dir()) == ["logs", "pairs", "prompts"]
    assert raylign("pairs", "--out", str(out), *settings).stdout.count("skipped") == 2


def test_a_missing_import(out: Path) -> None:
    run = raylign("pairs", "--out", str(out), "pairs.source=offpolicy", "offpolicy.path=/no/such/pairs.jsonl")
    assert_refused(run, "offpolicy.path /no/such/pairs.jsonl does not exist")
    assert not out.exists()


def test_another_configuration_on_the_same_folder(out: Path) -> None:
    out.mkdir()
    assert_refused(raylign("pairs", "--out", str(out), "prompts.path=/no/such.jsonl"), "/no/such.jsonl")
    (out / "config.yaml").write_text("train:\n  beta: 0.5\n")
    assert_refused(raylign("loop", "--out", str(out), "train.beta=0.2"), "train.beta: 0.5 there, 0.2 here")


def test_the_model_command_prints_a_usable_folder(bundled_model: Path) -> None:
    run = raylign("model")
    assert run.returncode == 0
    folder = Path(run.stdout.strip())
    assert folder == bundled_model
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"


def test_a_damaged_bundled_model_is_made_anew(bundled_model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / bundled_model.name
    damaged.mkdir()
    for path in bundled_model.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes())
    (damaged / "tokenizer.json").write_text("{}")
    run = raylign("model", RAYLIGN_CACHE=str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert (damaged / "tokenizer.json").read_bytes() == (bundled_model / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--suite", "ifevl"], ["did you mean 'ifeval'?"]),
        (["--suite", "ifeval"], ["evaluate.ifeval.path is null"]),
        (["--suite", "ifeval", "evaluate.ifeval.path=/no/such.jsonl"], ["/no/such.jsonl cannot be read"]),
        (["--suite", "pairwise"], ["needs a judge"]),
        (["--suite", "pairwise", "evaluate.judge.model=judge"], ["holds no held-out prompts"]),
        (["--suite", "custom", "evaluate.custom.path={own}"], ["base_url", "does not answer"]),
        (["--suite", "custom", "evaluate.custom.path={bad}"], ["bad.jsonl:1: it is scored by nothing"]),
    ],
)
def test_a_suite_that_cannot_run_is_refused_before_anything_starts(
    arguments: list[str], named: list[str], out: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.jsonl").write_text('{"prompt": "6 times 7?", "numeric": 42}\n')
    (tmp_path / "bad.jsonl").write_text('{"prompt": "6 times 7?"}\n')
    given = [word.format(own=tmp_path / "own.jsonl", bad=tmp_path / "bad.jsonl") for word in arguments]
    endpoint = [f"evaluate.base_url=http://127.0.0.1:{free_port()}/v1", "evaluate.models=[a,b]"]
    assert_refused(raylign("evaluate", "--out", str(out), *given, *endpoint), *named)
    assert not out.exists()


def test_a_model_that_the_evaluated_endpoint_does_not_serve(out: Path, tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"prompt": "6 times 7?", "numeric": 42}\n')
    with Provider(models=("a", "b")) as provider:
        suite = ["--suite", "custom", f"evaluate.custom.path={tmp_path}/own.jsonl", f"evaluate.base_url={provider.url}"]
        run = raylign("evaluate", "--out", str(out), *suite, "evaluate.models=[a,c]")
        assert_refused(run, "does not serve a model 'c'", "it serves a, b")
        run = raylign("evaluate", "--out", str(out), *suite, "evaluate.models=[a,b]", "evaluate.judge.model=d")
        assert_refused(run, "does not serve a model 'd'")
    assert not out.exists()


def test_a_finished_run_takes_suites_of_its_own_configuration_only(out: Path) -> None:
    RunFolder.open(out, LoopConfig(), ["raylign", "loop"]).close()
    before = (out / "config.yaml").read_text()
    run = raylign("evaluate", "--out", str(out), "--suite", "heldout", "train.beta=0.1")
    assert_refused(run, "train.beta=0.1", "evaluate.*")
    assert_refused(raylign("evaluate", "--out", str(out), "--suite", "heldout"), "no pairs with two answers")
    assert (out / "config.yaml").read_text() == before
