"""The card of an exported model: metadata that the hub's own library reads, and the same for a person."""

from typing import Any

import pytest
from huggingface_hub import ModelCard

from raylign.config import load_config
from raylign.train.model_card import model_card

HELDOUT = {"pairs": 40, "reward_accuracy": 0.975, "reward_margin": 1.25, "movement_chosen": -2.5}
FIGURES: dict[str, Any] = {"steps": 21, "pairs": 167, "heldout": HELDOUT}
MANIFEST = {"source": "clair", "reviser_models": ["someone/strong"], "target_models": ["bundled"]}


def card(*overrides: str, figures: dict[str, Any] = FIGURES, manifest: dict[str, Any] = MANIFEST) -> ModelCard:
    return ModelCard(model_card(load_config(None, list(overrides)), figures, manifest, chats=True))


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


def test_an_adapter_says_so() -> None:
    found = card("train.lora.rank=16", "train.export=adapter")
    assert found.data.library_name == "peft"
    assert "LoRA adapter of rank 16 (adapter)" in found.text
    assert card("train.lora.rank=16").data.library_name == "transformers"


def test_a_run_without_held_out_pairs_states_no_figures() -> None:
    found = card(figures={"steps": 1, "pairs": 4, "heldout": {"pairs": 0}}, manifest={})
    assert found.data.eval_results is None
    assert "| Measured" not in found.text
