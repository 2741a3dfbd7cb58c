"""LoRA for real: an adapter trained by one worker and by two, exported alone and merged, stopped early and by NaN."""

import json
from pathlib import Path

import pytest
import torch
from training_run import metrics, steps, train

from raylign.errors import TrainingError

pytestmark = pytest.mark.loop

LORA = ["train.lora.rank=4", "train.lora.alpha=16", "train.learning_rate=5e-3", "train.epochs=4"]
EARLY = ["train.evaluate_every=1", "train.early_stop=reward_accuracy", "train.early_stop_patience=2"]


@pytest.fixture(scope="module")
def adapter_run(ray_cluster: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained by one worker, its adapter exported alone."""
    path = tmp_path_factory.mktemp("adapter")
    figures = train(path, tiny_model, *LORA, *EARLY, "train.export=adapter", "train.lora.dropout=0.1")
    (path / "figures.json").write_text(json.dumps(figures))
    return path


def test_an_adapter_starts_at_the_reference_learns_and_stops_when_it_gets_no_better(adapter_run: Path) -> None:
    figures = json.loads((adapter_run / "figures.json").read_text())
    assert figures["loss_first"] == pytest.approx(1.0, abs=1e-4)
    accuracies = [line["reward_accuracy"] for line in metrics(adapter_run) if line.get("event") == "heldout"]
    assert figures["stopped_early"] is True
    assert figures["steps"] == len(accuracies) < 12
    assert max(accuracies[-2:]) <= max(accuracies[:-2])
    heldout = figures["heldout"]
    assert heldout["reward_margin"] > 0
    assert heldout["movement_rejected"] < heldout["movement_chosen"]


def test_the_figures_of_a_run_say_what_its_steps_took(adapter_run: Path) -> None:
    figures = json.loads((adapter_run / "figures.json").read_text())
    start = next(line for line in metrics(adapter_run) if line.get("event") == "start")
    assert start["peak_from"] == "measured"
    assert start["peak_tflops"] > 0
    assert 0 < figures["model_flops_utilisation"] < 1
    assert figures["token_imbalance"] == 1.0
    assert figures["tokens_per_second"] > figures["pairs_per_second"] > 0
    assert 0.1 < figures["peak_memory_gib"] < 16
    assert steps(adapter_run)[1]["tokens_per_second"] > 0


def test_two_workers_export_the_same_adapter_merged(adapter_run: Path, tiny_model: Path, tmp_path: Path) -> None:
    """ZeRO-3 over two workers takes the same steps; the merged model gives the logits of base and adapter together."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sharded = ["train.workers=2", "train.micro_batch_size=1", "train.zero_stage=3"]
    trained = ["train.lora.dropout=0", "train.epochs=1", "train.peak_tflops=0.1"]
    figures = train(tmp_path / "two", tiny_model, *LORA, *trained, *sharded)
    train(tmp_path / "one", tiny_model, *LORA, *trained, "train.export=adapter")
    expected, found = steps(tmp_path / "one"), steps(tmp_path / "two")
    assert len(found) == len(expected) == 3
    for step, line in expected.items():
        for name in ("loss", "gradient_norm", "logps/chosen"):
            assert found[step][name] == pytest.approx(line[name], rel=1e-3), (step, name)
    assert 1.0 <= figures["token_imbalance"] < 1.5

    adapter, merged = tmp_path / "one" / "checkpoint", tmp_path / "two" / "checkpoint"
    assert sorted(path.name for path in adapter.glob("*.safetensors")) == ["adapter_model.safetensors"]
    assert sorted(path.name for path in merged.glob("*.safetensors")) == ["model.safetensors"]
    assert not (merged / "adapter_config.json").exists()
    tokenizer = AutoTokenizer.from_pretrained(merged)
    prompt = [{"role": "user", "content": "Tell me about the lamp."}]
    given = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt")
    models = [AutoModelForCausalLM.from_pretrained(path).float() for path in (adapter, merged, tiny_model)]
    with torch.no_grad():
        by_adapter, by_merged, by_base = (model(**given).logits for model in models)
    torch.testing.assert_close(by_adapter, by_merged, rtol=0.02, atol=0.02)
    assert (by_merged - by_base).abs().max() > 0.05


def test_the_export_has_a_card_that_says_what_it_is(adapter_run: Path) -> None:
    from huggingface_hub import ModelCard

    folder = adapter_run / "checkpoint"
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "peft"
    assert {result.metric_type for result in card.data.eval_results} >= {"reward_accuracy", "movement_chosen"}
    assert "LoRA adapter of rank 4" in card.text
    assert (folder / "chat_template.jinja").exists()
    assert (folder / "generation_config.json").exists()


def test_a_run_that_explodes_stops_with_its_pairs_in_a_file(
    ray_cluster: None, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"training stopped at step \d+: .*offence\.json"):
        train(tmp_path, tiny_model, "train.learning_rate=1e30", "train.peak_tflops=0.1")
    offence = json.loads((tmp_path / "train" / "offence.json").read_text())
    assert {pair["id"] for pair in offence["pairs"]} <= {f"train-{index}" for index in range(10)}
    assert offence["pairs"]
    assert not (tmp_path / "checkpoint").exists()
