"""Training that is killed, goes on and changes its number of workers, against a run that nothing disturbed."""

import functools
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_run import STEPS, Killer, checkpoint_tensors, metrics, prepare, starts, steps, train, write_pairs

from raylign.errors import TrainingError
from raylign.screen import Screen
from raylign.train.stage import run

pytestmark = pytest.mark.loop


def test_a_killed_run_ends_with_the_very_bits_of_an_undisturbed_one(
    one_worker: Path, tiny_model: Path, tmp_path: Path
) -> None:
    killer = Killer(tmp_path, [10], saved=True)
    train(tmp_path, tiny_model)
    assert killer.killed_at, "the run ended before the worker could be killed"
    first, second = starts(tmp_path)
    assert first["step"] == 0
    assert 4 <= second["step"] <= killer.killed_at[0] + 1  # from a checkpoint; the newest may not have been whole
    assert second["step"] % 4 == 0
    assert first["workers"][0]["pid"] != second["workers"][0]["pid"]
    expected, found = checkpoint_tensors(one_worker, STEPS), checkpoint_tensors(tmp_path, STEPS)
    assert len(expected) == 3 * len([name for name in expected if name.startswith("master/")]) > 0
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert {step: line["loss"] for step, line in steps(tmp_path).items()} == {
        step: line["loss"] for step, line in steps(one_worker).items()
    }


def test_two_killed_workers_go_on_with_the_very_bits_and_their_own_dropout(
    ray_cluster: None, tiny_model: Path, tmp_path: Path
) -> None:
    settings = ["train.lora.rank=4", "train.lora.dropout=0.5", "train.epochs=20"]
    settings += ["train.workers=2", "train.micro_batch_size=2"]
    train(tmp_path / "still", tiny_model, *settings)
    killer = Killer(tmp_path / "killed", [6], saved=True)
    train(tmp_path / "killed", tiny_model, *settings)
    assert killer.killed_at, "the run ended before the worker could be killed"
    first, second = starts(tmp_path / "killed")
    assert 0 == first["step"] < second["step"]
    expected, found = checkpoint_tensors(tmp_path / "still", 60), checkpoint_tensors(tmp_path / "killed", 60)
    assert any("lora" in name for name in expected)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_the_cpu_optimizer_goes_on_at_any_step_as_if_it_had_never_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its powers of beta are products in fp32; `pow`, which it takes after a jump, differs at most of these steps."""
    import cpuinfo
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    from raylign.train.zero_state import set_steps

    # Each optimizer asks by programs of its own what the processor is, for more than a second.
    monkeypatch.setattr(cpuinfo, "get_cpu_info", functools.cache(cpuinfo.get_cpu_info))

    def stepped(optimizer: DeepSpeedCPUAdam, weight: torch.nn.Parameter, first: int, last: int) -> None:
        for step in range(first, last):
            weight.grad = torch.full_like(weight, 0.1 + step % 7)
            optimizer.step()

    whole = torch.nn.Parameter(torch.linspace(-1, 1, 64))
    stepped(DeepSpeedCPUAdam([whole]), whole, 0, 40)
    for stop in range(1, 40):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 64))
        before = DeepSpeedCPUAdam([weight])
        stepped(before, weight, 0, stop)
        after = DeepSpeedCPUAdam([weight])
        after.state[weight] = {**before.state[weight], "step": 0}
        set_steps(after, stop)
        stepped(after, weight, stop, 40)
        assert torch.equal(weight, whole), f"stopped after step {stop}"


def test_a_run_that_changes_workers_and_zero_stage_takes_the_same_steps(
    one_worker: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """One worker, then two that shard everything, then one: ended twice, and started again on the same folder."""
    for workers, stage, kill in ((1, 1, [10]), (2, 3, [8]), (1, 2, [])):
        settings = [f"train.workers={workers}", f"train.zero_stage={stage}", "train.max_failures=0"]
        settings += ["train.micro_batch_size=2"]  # of a batch of four, on two workers
        killer = Killer(tmp_path, [*kill], saved=True)
        if kill:
            with pytest.raises(TrainingError, match="training failed"):
                train(tmp_path, tiny_model, *settings)
            killer.thread.join(10)
        else:
            figures = train(tmp_path, tiny_model, *settings)
    assert [len(start["workers"]) for start in starts(tmp_path)] == [1, 2, 1]
    begun = [start["step"] for start in starts(tmp_path)]
    assert 0 == begun[0] < begun[1] < begun[2] < STEPS
    expected, found = steps(one_worker), steps(tmp_path)
    assert sorted(found) == list(range(1, STEPS + 1))
    for step, line in expected.items():
        assert found[step]["loss"] == pytest.approx(line["loss"], abs=1e-4), step
    assert figures["steps"] == STEPS


def test_the_best_checkpoint_is_exported_and_described(ray_cluster: None, tiny_model: Path, tmp_path: Path) -> None:
    """At a rate so high that the loss jumps about; of Ray's checkpoints only the best and the last are left."""
    settings = ["train.epochs=6", "train.learning_rate=0.03", "train.keep_best=loss", "train.checkpoints_kept=1"]
    figures = train(tmp_path, tiny_model, *settings)
    by_step = {line["step"]: line for line in metrics(tmp_path) if line.get("event") == "heldout"}
    assert sorted(by_step) == [4, 8, 12, 16, 18]
    best = min(by_step, key=lambda step: (by_step[step]["loss"], -step))
    assert figures["exported_step"] == best
    assert figures["heldout"]["loss"] == pytest.approx(by_step[best]["loss"], rel=1e-5)
    assert {path.name for path in (tmp_path / "train" / "ray").glob("step-*")} == {f"step-{best:08d}", "step-00000018"}
    masters = checkpoint_tensors(tmp_path, best)
    exported = load_file(tmp_path / "checkpoint" / "model.safetensors")
    exported.pop("lm_head.weight", None)  # the embedding once more, which it is tied to
    assert {f"master/model.{name}" for name in exported} == {name for name in masters if name.startswith("master/")}
    for name, weights in exported.items():
        assert torch.equal(weights, masters[f"master/model.{name}"]), name


def test_a_checkpoint_of_another_run_is_refused(one_worker: Path, tiny_model: Path, tmp_path: Path) -> None:
    config, folder = prepare(tmp_path, tiny_model)
    write_pairs(tmp_path / "pairs", "train", 11)  # of which one is new
    shutil.copytree(one_worker / "train" / "ray", tmp_path / "train" / "ray")
    with pytest.raises(TrainingError, match="trained on other pairs or from another model"):
        run(config, folder, Screen())
    folder.close()
    assert not (tmp_path / "checkpoint").exists()
    config, folder = prepare(tmp_path / "slower", tiny_model, "train.learning_rate=1e-5")
    shutil.copytree(one_worker / "train" / "ray", folder.path / "train" / "ray")
    with pytest.raises(TrainingError, match=r"trained with other settings: train.learning_rate: .* there, 1e-05 here"):
        run(config, folder, Screen())
    folder.close()
