"""What an export writes beside its weights: generation settings as the base's author meant them, whatever they are."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from raylign.config import load_config
from raylign.config.training import LoraConfig
from raylign.model import BUNDLED_HUB_ID, names_elsewhere
from raylign.train.export import write_model
from raylign.train.job import Job
from raylign.train.lora import add_adapter

FIGURES: dict[str, Any] = {"steps": 1, "pairs": 4, "heldout": {"pairs": 0}}
EXPORTS = {
    "whole": [],
    "merged": ["train.lora.rank=4"],
    "adapter": ["train.lora.rank=4", "train.export=adapter"],
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A tiny model with its tokenizer."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=20, **sizes)).save_pretrained(tmp_path / "base")
    vocabulary = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=vocabulary).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def export(base: Path, kind: str, name: str | None = None) -> Path:
    """The folder that a run from this base exports; `name` is what its job calls it."""
    config = load_config(None, [f"model={name or base}", *EXPORTS[kind]])
    model = AutoModelForCausalLM.from_pretrained(base)
    if kind != "whole":
        add_adapter(model, LoraConfig(rank=4))
    state = {key: value.detach() for key, value in model.named_parameters() if value.requires_grad}
    names = names_elsewhere([config.model])
    job = Job(config, name or str(base), base.parent / "run", base.parent / "pairs", names)
    write_model(job, str(base), model, state, FIGURES)
    return job.export_path


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("given", [{"temperature": 0.6, "top_p": 0.9}, {"top_k": 20}, {"min_p": 0.1}])
def test_settings_of_sampling_are_exported_as_sampling(given: dict[str, Any], kind: str, base: Path) -> None:
    """transformers loads them without `do_sample` and refuses to save them so."""
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": 2, **given}))
    found = GenerationConfig.from_pretrained(export(base, kind))
    assert {name: getattr(found, name) for name in given} == given
    assert (found.do_sample, found.eos_token_id) == (True, 2)
    found.save_pretrained(base)  # whoever trains on from here can save it


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 0.0},
        {"temperature": 0.6, "do_sample": False},
        {"pad_token_id": -1},
        {"length_penalty": 2.0},
        {"output_attentions": True},
    ],
)
def test_settings_that_cannot_be_mended_are_left_and_the_weights_kept(
    given: dict[str, Any], kind: str, base: Path
) -> None:
    (base / "generation_config.json").write_text(json.dumps(given))
    folder = export(base, kind)
    found = json.loads((folder / "generation_config.json").read_text())
    assert {name: found[name] for name in given} == given
    assert ("do_sample" in found) == ("do_sample" in given)
    assert list(folder.glob("*.safetensors"))
    assert torch.isfinite(AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([[1, 2]])).logits).all()


def test_settings_that_say_nothing_of_sampling_stay_greedy(base: Path) -> None:
    (base / "generation_config.json").write_text(json.dumps({"temperature": 1.0, "top_k": 50, "eos_token_id": [2, 3]}))
    found = json.loads((export(base, "whole") / "generation_config.json").read_text())
    assert "do_sample" not in found
    assert found["eos_token_id"] == [2, 3]


@pytest.mark.parametrize(
    ("name", "written"), [("bundled", BUNDLED_HUB_ID), ("owner/model", "owner/model"), (None, None)]
)
def test_an_adapter_points_to_its_base_by_hub_id_and_only_else_by_folder(
    name: str | None, written: str | None, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *given: pytest.fail("asked"))
    settings = json.loads((export(base, "adapter", name) / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == (written or str(base))


@pytest.mark.parametrize("kind", EXPORTS)
def test_no_file_of_an_export_tells_where_a_published_base_lay(kind: str, base: Path) -> None:
    folder = export(base, kind, "owner/model")
    assert [path.name for path in folder.iterdir() if str(base.parent).encode() in path.read_bytes()] == []
