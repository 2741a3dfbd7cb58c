"""The training stage for real: Ray Train workers, DeepSpeed, a tiny model; killed, resumed, refused, exported."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from records import make_pair, user

from raylign.config import LoopConfig, load_config
from raylign.errors import InputError, TrainingError
from raylign.parts import PartWriter
from raylign.records import Pair
from raylign.run_folder import RunFolder
from raylign.screen import Screen
from raylign.train.stage import run

pytestmark = pytest.mark.loop

WORDS = ["river", "stone", "lamp", "garden", "winter", "bread", "clock", "window", "paper", "music", "cloud"]
BASE = [
    "train.objective=apo_zero",
    "train.batch_size=4",
    "train.micro_batch_size=4",
    "train.learning_rate=1e-3",
    "train.warmup_share=0",
    "train.log_every=1",
]
BASE += ["train.cpus_per_worker=1", "train.dtype=fp32", "train.checkpoint_every=100"]


def write_pairs(folder: Path, split: str, count: int, single: bool = False) -> None:
    """Pairs, or where `single` every other one's chosen answer alone and the others' rejected one."""
    with PartWriter(folder / split, Pair) as writer:
        for index in range(count):
            word, other = WORDS[index % len(WORDS)], WORDS[(index + 5) % len(WORDS)]
            chosen, rejected = f"A {word} is short.", f"Well, the {word}, " + f"and the {other}, " * (1 + index % 4)
            asked = user(f"Tell me about the {word} and the {other}.")
            row = make_pair(chosen, rejected, id=f"{split}-{index}", prompt=asked, split=split)
            if single:
                row = replace(row, rejected=[]) if index % 2 else replace(row, chosen=[])
            writer.add([row])


def prepare(path: Path, model: Path, *overrides: str, single: bool = False) -> tuple[LoopConfig, RunFolder]:
    config = load_config(overrides=[f"model={model}", *BASE, *overrides])
    for split, count in (("train", 10), ("heldout", 3)):
        write_pairs(path / "pairs", split, count, single)
    return config, RunFolder.open(path, config, ["test"])


def train(path: Path, model: Path, *overrides: str) -> dict[str, Any]:
    config, folder = prepare(path, model, *overrides)
    try:
        return run(config, folder, Screen())
    finally:
        folder.close()


def metrics(path: Path) -> list[dict[str, Any]]:
    file = path / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def steps(path: Path) -> dict[int, dict[str, Any]]:
    return {line["step"]: line for line in metrics(path) if "event" not in line}


@pytest.fixture(scope="module")
def one_worker(ray_cluster: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one")
    figures = train(path, tiny_model, "train.workers=1", "train.micro_batch_size=4", "train.epochs=2")
    (path / "figures.json").write_text(json.dumps(figures))
    return path


def test_a_run_starts_at_the_reference_and_learns_the_pairs(one_worker: Path) -> None:
    figures = json.loads((one_worker / "figures.json").read_text())
    assert figures["objective"] == "apo_zero"
    assert (figures["steps"], figures["pairs"], figures["dropped"]) == (6, 10, {})
    assert figures["loss_first"] == pytest.approx(1.0, abs=1e-4)
    assert figures["loss_last"] < 0.9
    assert figures["heldout"]["pairs"] == 3
    assert figures["heldout"]["reward_accuracy"] == 1.0
    assert figures["heldout"]["reward_margin"] > 0.1
    assert figures["pairs_per_second"] > 0


def test_the_export_loads_in_transformers_with_template_and_safe_weights(one_worker: Path, tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = one_worker / "checkpoint"
    assert not list(folder.glob("*.bin"))
    aligned = AutoModelForCausalLM.from_pretrained(folder)
    assert aligned.dtype == torch.bfloat16
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    changed = [
        name for name, value in aligned.state_dict().items() if not torch.equal(value.float(), base.state_dict()[name])
    ]
    assert len(changed) > len(base.state_dict()) / 2
    prompt = [{"role": "user", "content": "Tell me about the lamp."}]
    tokenizers = [AutoTokenizer.from_pretrained(path) for path in (folder, tiny_model)]
    renderings = [t.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True) for t in tokenizers]
    assert renderings[0] == renderings[1]
    given = tokenizers[0].apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt")
    assert aligned.generate(**given, max_new_tokens=2).shape[1] > given["input_ids"].shape[1]


def test_two_workers_that_shard_everything_take_the_same_steps(
    one_worker: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """ZeRO-3 over two workers, pair by pair with accumulation, a last batch of two in four slots: the same numbers."""
    sharded = ["train.workers=2", "train.micro_batch_size=1", "train.zero_stage=3", "train.epochs=2"]
    train(tmp_path, tiny_model, *sharded)
    expected, found = steps(one_worker), steps(tmp_path)
    assert sorted(found) == sorted(expected) == list(range(1, 7))
    for step, line in expected.items():
        for name in ("loss", "gradient_norm", "logps/chosen", "learning_rate"):
            assert found[step][name] == pytest.approx(line[name], rel=1e-3), (step, name)
    assert (tmp_path / "checkpoint" / "model.safetensors").exists()


def test_a_wrong_reference_cache_is_refused_at_the_first_step(
    one_worker: Path, tiny_model: Path, tmp_path: Path
) -> None:
    found = next((one_worker / "train").glob("reference-*.parquet"))
    rows = pq.read_table(found)
    at = rows.column_names.index("chosen")
    wrong = rows.set_column(at, "chosen", [[value + 2.0 for value in rows["chosen"].to_pylist()]])
    (tmp_path / "train").mkdir()
    pq.write_table(wrong, tmp_path / "train" / found.name)
    with pytest.raises(TrainingError, match="first reward of the chosen answer of pair train-"):
        train(tmp_path, tiny_model, "train.workers=1", "train.micro_batch_size=4", "train.epochs=2")
    assert len([line for line in metrics(tmp_path) if line.get("event") == "start"]) == 1  # no restart helps here
    assert not (tmp_path / "checkpoint").exists()


def test_a_killed_worker_is_replaced_and_every_step_is_done(
    ray_cluster: None, tiny_model: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_at_step_ten() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if steps(tmp_path) and max(steps(tmp_path)) >= 10:
                start = next(line for line in metrics(tmp_path) if line.get("event") == "start")
                killed.append(start["workers"][1]["pid"])
                os.kill(killed[0], signal.SIGKILL)
                return
            time.sleep(0.02)

    watcher = threading.Thread(target=kill_at_step_ten, daemon=True)
    watcher.start()
    settings = ["train.workers=2", "train.micro_batch_size=2", "train.zero_stage=2", "train.dtype=bf16"]
    figures = train(tmp_path, tiny_model, *settings, "train.epochs=14", "train.checkpoint_every=4")
    watcher.join(10)
    assert killed, "the run ended before the worker could be killed"
    starts = [line for line in metrics(tmp_path) if line.get("event") == "start"]
    assert starts[0]["step"] == 0
    assert len(starts) == 2
    assert (
        starts[1]["step"] >= 4
    )  # not from the beginning; the newest checkpoint may still be on its way to the controller
    assert starts[1]["step"] % 4 == 0
    assert killed[0] not in [worker["pid"] for worker in starts[1]["workers"]]
    assert sorted(steps(tmp_path)) == list(range(1, 43))
    assert figures["steps"] == 42
    assert figures["loss_first"] == pytest.approx(1.0, abs=0.02)
    assert figures["loss_last"] < 0.7
    assert (tmp_path / "checkpoint" / "model.safetensors").exists()


def test_single_answers_are_trained_on_against_a_baseline_of_the_global_batch(
    ray_cluster: None, tiny_model: Path, tmp_path: Path
) -> None:
    """Two workers in micro-batches of one, their last batch of two in four slots."""
    settings = ["train.objective=kto + 0.1*sft", "train.workers=2", "train.micro_batch_size=1", "train.epochs=4"]
    config, folder = prepare(tmp_path, tiny_model, *settings, single=True)
    try:
        figures = run(config, folder, Screen())
    finally:
        folder.close()
    assert figures["objective"] == "kto + 0.1·sft"
    assert (figures["steps"], figures["pairs"], figures["dropped"]) == (12, 10, {})
    lines = steps(tmp_path)
    assert lines[1]["loss/kto"] == pytest.approx(0.5, abs=1e-3)
    assert lines[1]["kl/z_ref"] == pytest.approx(0.0, abs=1e-3)
    assert all(line["kl/z_ref"] >= 0 for line in lines.values())
    assert lines[12]["loss/kto"] < 0.45
    assert figures["heldout"]["reward_chosen"] > figures["heldout"]["reward_rejected"]
    assert "reward_accuracy" not in figures["heldout"]
    assert len(list((tmp_path / "train").glob("reference-*.parquet"))) == 2


def test_pairs_that_are_missing_or_useless_are_one_clear_error(
    ray_cluster: None, tiny_model: Path, tmp_path: Path
) -> None:
    config, folder = prepare(tmp_path, tiny_model, f"train.pairs={tmp_path / 'nowhere'}")
    with pytest.raises(InputError, match=r"no pairs in .*nowhere"):
        run(config, folder, Screen())
    folder.close()
    config, folder = prepare(tmp_path / "short", tiny_model, "train.max_length=12")
    with pytest.raises(InputError, match="too_long 10"):
        run(config, folder, Screen())
    folder.close()
