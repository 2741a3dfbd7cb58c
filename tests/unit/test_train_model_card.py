"""The card of an exported model: metadata that the hub's own library reads, and the same for a person."""

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from raylign.config import load_config
from raylign.errors import InputError
from raylign.model import names_elsewhere
from raylign.run_folder import RunFolder
from raylign.screen import Screen
from raylign.train import stage
from raylign.train.job import Job
from raylign.train.model_card import model_card

HELDOUT = {"pairs": 40, "reward_accuracy": 0.975, "reward_margin": 1.25, "movement_chosen": -2.5}
FIGURES: dict[str, Any] = {"steps": 21, "pairs": 167, "heldout": HELDOUT}
MANIFEST = {"source": "clair", "reviser_models": ["someone/strong"], "target_models": ["bundled"]}


def card(*overrides: str, figures: dict[str, Any] = FIGURES, manifest: dict[str, Any] = MANIFEST) -> ModelCard:
    config = load_config(None, list(overrides))
    names = names_elsewhere([config.model, *manifest.get("reviser_models", [])])
    return ModelCard(model_card(config, figures, manifest, True, names))


def test_the_metadata_names_base_model_kind_and_figures() -> None:
    found = card("model=someone/base")
    assert (found.data.base_model, found.data.library_name) == ("someone/base", "transformers")
    assert found.data.pipeline_tag == "text-generation"
    results = {result.metric_type: result.metric_value for result in found.data.eval_results}
    assert results == {name: value for name, value in HELDOUT.items() if name != "pairs"}


def test_a_person_reads_method_data_and_figures() -> None:
    text = card("train.beta=0.1", "train.learning_rate=2e-7", "seed=5").text
    for words in ("β 0.1", "21 steps of 8 pairs", "2e-07", "167; held out: 40", "someone/strong", "0.975", "Seed: 5"):
        assert words in text


@pytest.mark.parametrize(
    ("model", "base"), [("/data/my-model", None), ("bundled", "HuggingFaceTB/SmolLM2-135M-Instruct")]
)
def test_a_folders_path_stays_at_home(model: str, base: str | None) -> None:
    found = card(f"model={model}")
    assert found.data.base_model == base
    assert "/data" not in str(found)


def test_a_relative_folder_is_not_taken_for_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    found = card("model=models/mine", manifest={"reviser_models": ["models/mine"]})
    assert found.data.base_model is None
    assert "models/mine" not in str(found)
    assert card("model=models/other").data.base_model == "models/other"


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["/home/someone/strong"], "a local model"),
        (["~/strong", "./strong", "s3://bucket/strong"], "a local model"),
        (["/home/someone/strong", "gpt-9"], "a local model, gpt-9"),
        (["accounts/host/models/strong-70b"], "accounts/host/models/strong-70b"),
        (["owner/strong:free"], "owner/strong:free"),
        (["bundled"], "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ([""], None),
    ],
)
def test_a_stronger_model_is_named_by_what_it_is_called_elsewhere(names: list[str], shown: str | None) -> None:
    text = card(manifest={"reviser_models": names}).text
    lines = [line for line in text.splitlines() if line.startswith("- Stronger model: ")]
    assert lines == ([f"- Stronger model: {shown}"] if shown else [])


def test_an_adapter_says_so() -> None:
    found = card("train.lora.rank=16", "train.export=adapter")
    assert found.data.library_name == "peft"
    assert "LoRA adapter of rank 16 (adapter)" in found.text
    assert card("train.lora.rank=16").data.library_name == "transformers"


def test_a_run_without_held_out_pairs_states_no_figures() -> None:
    found = card(figures={"steps": 1, "pairs": 4, "heldout": {"pairs": 0}}, manifest={})
    assert found.data.eval_results is None
    assert "| Measured" not in found.text


def test_the_driver_tells_which_models_are_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run in another directory, where a relative path would be taken for a hub id."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "strong").mkdir(parents=True)
    (tmp_path / "pairs").mkdir()
    manifest = {"reviser_models": ["", "models/strong", "someone/strong"]}
    (tmp_path / "pairs" / "manifest.json").write_text(json.dumps(manifest))
    handed: list[Job] = []

    def stop(job: Job, model: str) -> dict[str, Any]:
        handed.append(job)
        raise InputError("enough")

    monkeypatch.setattr(stage, "prepare_tokens", stop)
    config = load_config(None, ["model=owner/base", "train.pairs=pairs"])
    with pytest.raises(InputError, match="enough"):
        stage.run(config, RunFolder(tmp_path / "run"), Screen())
    assert handed[0].names == {"owner/base": "owner/base", "someone/strong": "someone/strong"}
