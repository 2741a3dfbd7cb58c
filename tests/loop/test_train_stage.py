"""The training stage for real: Ray Train workers, DeepSpeed, a tiny model; sharded, refused, exported."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from training_run import BASE, STEPS, metrics, prepare, starts, steps, train

from raylign.errors import InputError, ModelError, TrainingError
from raylign.run_folder import RunFolder
from raylign.screen import Screen
from raylign.sweep.grid import grid
from raylign.sweep.stage import point_configs, sweep
from raylign.train.reference import load_reference, save_reference
from raylign.train.stage import run

pytestmark = pytest.mark.loop


def test_a_run_starts_at_the_reference_and_learns_the_pairs(one_worker: Path) -> None:
    figures = json.loads((one_worker / "figures.json").read_text())
    assert figures["objective"] == "apo_zero"
    assert (figures["steps"], figures["exported_step"], figures["pairs"], figures["dropped"]) == (STEPS, STEPS, 10, {})
    assert figures["loss_first"] == pytest.approx(1.0, abs=1e-4)
    assert figures["loss_last"] < 0.9
    assert figures["heldout"]["pairs"] == 3
    assert figures["heldout"]["reward_accuracy"] == 1.0
    assert figures["heldout"]["reward_margin"] > 0.1
    assert figures["pairs_per_second"] > 0
    assert figures["reference"] == "computed"
    assert figures["reference_seconds"] > 0


def test_the_export_loads_in_transformers_with_template_and_safe_weights(one_worker: Path, tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = one_worker / "checkpoint"
    assert not list(folder.glob("*.bin"))
    aligned = AutoModelForCausalLM.from_pretrained(folder)
    assert aligned.dtype == torch.float32  # as it was trained: bf16 would lose its smallest steps
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


def test_the_worker_takes_the_allocator_that_fits_a_training_step(one_worker: Path) -> None:
    assert starts(one_worker)[0]["allocator"] == "jemalloc"


def test_two_workers_that_shard_everything_take_the_same_steps(
    one_worker: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """ZeRO-3 over two workers, pair by pair with accumulation, a last batch of two in four slots: the same numbers.

    With activation checkpointing, as for models that need ZeRO-3.
    """
    sharded = ["train.workers=2", "train.micro_batch_size=1", "train.zero_stage=3", "train.epochs=2"]
    train(tmp_path, tiny_model, *sharded, "train.activation_checkpointing=true")
    expected, found = steps(one_worker), steps(tmp_path)
    assert sorted(found) == list(range(1, 7))
    for step in found:
        line = expected[step]
        for name in ("loss", "gradient_norm", "logps/chosen", "learning_rate"):
            assert found[step][name] == pytest.approx(line[name], rel=1e-3), (step, name)
    assert (tmp_path / "checkpoint" / "model.safetensors").exists()


def test_two_workers_that_share_every_row_train_as_one_worker_does(
    one_worker: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """DeepSpeed Ulysses, with activations made again in the backward pass: the same numbers, tokens counted once."""
    shared = ["train.workers=2", "train.sequence_parallel=2", "train.activation_checkpointing=true", "train.epochs=2"]
    figures = train(tmp_path, tiny_model, *shared)
    expected, found = steps(one_worker), steps(tmp_path)
    assert sorted(found) == list(range(1, 7))
    for step in found:
        line = expected[step]
        for name in ("loss", "gradient_norm", "logps/chosen", "logps/rejected"):
            assert found[step][name] == pytest.approx(line[name], rel=1e-4), (step, name)
    assert figures["reference"] == "computed"
    assert figures["token_imbalance"] == 1.0


def test_a_wrong_reference_cache_is_refused_at_the_first_step(
    one_worker: Path, tiny_model: Path, tmp_path: Path
) -> None:
    path = next((one_worker / "pairs").glob("reference-*.parquet"))
    right = load_reference(path, [])
    assert right is not None
    wrong = {id_: (chosen + 2.0, rejected) for id_, (chosen, rejected) in right.logps.items()}
    save_reference(tmp_path / "pairs" / path.name, replace(right, logps=wrong))
    with pytest.raises(TrainingError, match="log-probability of the chosen answer of pair train-"):
        train(tmp_path, tiny_model)
    assert len([line for line in metrics(tmp_path) if line.get("event") == "start"]) == 1  # no restart helps here
    assert not (tmp_path / "checkpoint").exists()


def counting_worker(settings: dict[str, Any]) -> dict[str, Any]:
    """The worker itself, which notes at each step how many language models its process holds."""
    import gc

    from raylign.train import worker

    plain = worker._Training.step

    def step(self: Any, *arguments: Any) -> None:
        plain(self, *arguments)
        held = sum(type(found).__name__ == "LlamaForCausalLM" for found in gc.get_objects())
        with (self.job.run / "models_held").open("a") as file:
            file.write(f"{held}\n")

    worker._Training.step = step  # type: ignore[method-assign]
    return worker.train_worker(settings)


def test_a_sweep_on_pairs_with_a_reference_makes_no_pass_and_holds_one_model(
    one_worker: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr("raylign.train.worker.train_worker", counting_worker)
    points = grid(["train.objective=dpo,apo_down"])
    configs = point_configs(
        None, [f"model={tiny_model}", *BASE, "train.epochs=1"], points, one_worker / "pairs", tmp_path
    )
    shown = sweep(points, configs, RunFolder(tmp_path), Screen())
    table = json.loads((tmp_path / "table.json").read_text())
    assert [(row["settings"]["objective"], row["status"], row["reference"]) for row in table] == [
        ("dpo", "ok", "found"),
        ("apo_down", "ok", "found"),
    ]
    assert len(shown) == 4  # headings, both points, what the columns mean
    for point in points:
        assert (tmp_path / point.name / "models_held").read_text().split() == ["1"] * 3, "the reference is not resident"
        assert (tmp_path / point.name / "report.html").exists()
    assert (tmp_path / "table.html").exists()
    assert sweep(points, configs, RunFolder(tmp_path), Screen()) == shown, "a second start trains nothing"
    assert len((tmp_path / points[0].name / "models_held").read_text().split()) == 3


def test_single_answers_are_trained_on_against_a_baseline_of_the_global_batch(
    ray_cluster: None, tiny_model: Path, tmp_path: Path
) -> None:
    """Two workers in micro-batches of one, their last batch of two in four slots."""
    settings = ["train.objective=kto + 0.1*sft", "train.workers=2", "train.micro_batch_size=1", "train.epochs=4"]
    figures = train(tmp_path, tiny_model, *settings, single=True)
    assert figures["objective"] == "kto + 0.1·sft"
    assert (figures["steps"], figures["pairs"], figures["dropped"]) == (12, 10, {})
    lines = steps(tmp_path)
    assert lines[1]["loss/kto"] == pytest.approx(0.5, abs=1e-3)
    assert lines[1]["kl/z_ref"] == pytest.approx(0.0, abs=1e-3)
    assert all(line["kl/z_ref"] >= 0 for line in lines.values())
    assert lines[12]["loss/kto"] < 0.45
    assert figures["heldout"]["reward_chosen"] > figures["heldout"]["reward_rejected"]
    assert "reward_accuracy" not in figures["heldout"]
    assert len(list((tmp_path / "pairs").glob("reference-*.parquet"))) == 2


def test_a_bf16_step_does_not_depend_on_its_micro_batches(ray_cluster: None, tiny_model: Path, tmp_path: Path) -> None:
    norms = []
    for pairs in (4, 1):
        path = tmp_path / str(pairs)
        train(path, tiny_model, "train.dtype=bf16", f"train.micro_batch_size={pairs}", "train.epochs=1")
        norms.append([line["gradient_norm"] for line in steps(path).values()])
    assert norms[1] == pytest.approx(norms[0], rel=2e-3)


def test_what_cannot_be_trained_is_one_clear_error_before_workers_start(
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
    best = ["train.objective=kto", "train.keep_best=reward_accuracy"]
    config, folder = prepare(tmp_path / "single", tiny_model, *best, single=True)
    with pytest.raises(InputError, match="have no reward_accuracy, while train"):
        run(config, folder, Screen())
    folder.close()
    config, folder = prepare(tmp_path / "heads", tiny_model, "train.workers=4", "train.sequence_parallel=4")
    with pytest.raises(ModelError, match=r"sequence_parallel is 4, and the model's attention has 2 key-value heads"):
        run(config, folder, Screen())
    folder.close()
