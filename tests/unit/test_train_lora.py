"""An adapter on a tiny model: starts as the base, is switched off for the reference, exported alone and merged."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from raylign.config import load_config
from raylign.config.training import LoraConfig
from raylign.errors import ModelError
from raylign.train.export import export_adapter, export_model
from raylign.train.lora import adapter_off, add_adapter, has_adapter, merge
from raylign.train.model_loading import read_model

IDS = torch.tensor([[1, 2, 3, 4, 5, 6]])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=20, initializer_range=0.3, **sizes))
    model.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def adapted(base: Path, **changes: Any) -> Any:
    model = AutoModelForCausalLM.from_pretrained(base)
    add_adapter(model, LoraConfig(**({"rank": 4} | changes)))
    return model


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.float().eval()(IDS).logits


def trained(model: Any) -> dict[str, torch.Tensor]:
    """The adapter's weights by name, moved as training would."""
    torch.manual_seed(1)
    for value in model.parameters():
        if value.requires_grad:
            value.data.add_(torch.randn_like(value) * 0.2)
    return {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}


def test_only_the_adapter_is_trained_and_it_starts_as_the_base(base: Path) -> None:
    model = adapted(base)
    assert all("lora_" in name for name, value in model.named_parameters() if value.requires_grad)
    assert not any("lm_head" in name for name, value in model.named_parameters() if value.requires_grad)
    assert torch.equal(logits(model), logits(AutoModelForCausalLM.from_pretrained(base)))


def test_the_reference_is_the_adapter_switched_off_also_after_training(base: Path) -> None:
    model, plain = adapted(base), AutoModelForCausalLM.from_pretrained(base)
    trained(model)
    with adapter_off(model):
        assert torch.equal(logits(model), logits(plain))
    assert not torch.allclose(logits(model), logits(plain), atol=0.05)
    with adapter_off(plain):  # a model without one is left as it is
        assert not has_adapter(plain)


@pytest.mark.parametrize(("dtype", "apart"), [(torch.bfloat16, 0.1), (torch.float32, 1e-5)])
def test_an_adapter_alone_and_merged_are_the_same_model(
    dtype: torch.dtype, apart: float, base: Path, tmp_path: Path
) -> None:
    model = adapted(base)
    state = trained(model)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    export_adapter(tmp_path / "adapter", model, state, tokenizer, "card", str(base), dtype)
    whole = merge(tmp_path / "adapter", AutoModelForCausalLM.from_pretrained(base))
    export_model(tmp_path / "merged", whole, whole.state_dict(), tokenizer, "card", dtype)

    assert [path.name for path in (tmp_path / "adapter").glob("*.safetensors")] == ["adapter_model.safetensors"]
    assert not (tmp_path / "merged" / "adapter_config.json").exists()
    assert (tmp_path / "merged" / "generation_config.json").exists()
    assert (tmp_path / "merged" / "README.md").read_text() == "card"
    expected = logits(model)
    for folder in ("adapter", "merged"):
        (weights,) = (tmp_path / folder).glob("*.safetensors")
        assert {value.dtype for value in load_file(weights).values()} == {dtype}
        found = logits(AutoModelForCausalLM.from_pretrained(tmp_path / folder))
        torch.testing.assert_close(found.float(), expected, rtol=apart / 2, atol=apart)


def test_targets_that_the_model_does_not_have_are_named_with_those_it_has(base: Path) -> None:
    with pytest.raises(ModelError, match=r"\['w_q'\].*q_proj"):
        adapted(base, targets=["w_q"])


@pytest.mark.parametrize(("local_rank", "device"), [("3", 3), ("0", 0), (None, 0)])
def test_each_worker_of_a_host_holds_its_quantised_weights_on_its_own_gpu(
    local_rank: str | None, device: int, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda folder, **settings: asked.update(settings))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    read_model(str(base), load_config(), quantization={"load_in_4bit": True})
    assert asked["device_map"] == {"": device}
    asked.clear()
    read_model(str(base), load_config())
    assert "device_map" not in asked
