"""bf16 weights multiplied in fp32: settled when a run begins, and as good as an fp32 model."""

import copy
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

from raylign.config import LoopConfig, load_config
from raylign.run_folder import RunFolder
from raylign.train import stage
from raylign.train.attention import SEGMENTED
from raylign.train.head import anchor_head
from raylign.train.job import Job
from raylign.train.lean import make_lean
from raylign.train.packing import Layout, pack
from raylign.train.policy import Policy
from raylign.train.products import is_wide, widen
from raylign.train.tokens import TokenPair


def settled(run: Path, config: LoopConfig) -> str:
    """What training in this run folder multiplies in."""
    folder = RunFolder.open(run, config, ["test"])
    folder.stage("train")
    try:
        return stage._settle_products(Job(config, "bundled", run, run / "pairs"), folder).config.train.products
    finally:
        folder.close()


@pytest.mark.parametrize("fast", ["bf16", "fp32"])
def test_it_follows_the_host_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: str) -> None:
    monkeypatch.setattr(stage, "fast_products", lambda gpus: fast)
    assert settled(tmp_path, LoopConfig()) == fast
    monkeypatch.setattr(stage, "fast_products", lambda gpus: "another host's")
    assert settled(tmp_path, LoopConfig()) == fast


def test_what_the_user_says_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "fast_products", lambda gpus: "bf16")
    assert settled(tmp_path, load_config(overrides=["train.products=fp32"])) == "fp32"


def small_model(kind: type, settings: type, **sizes: int) -> Any:
    """A random bf16 model."""
    torch.manual_seed(0)
    return kind(settings(vocab_size=60, **sizes)).bfloat16()


def llama() -> Any:
    return small_model(
        LlamaForCausalLM, LlamaConfig, hidden_size=32, intermediate_size=48, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip


def logps(model: Any, layout: Layout) -> torch.Tensor:
    pairs = [TokenPair(str(at), (1, 2, 3, at), (at, 9, 4), (7, at, 8, 5)) for at in range(10, 14)]
    model.set_attn_implementation("sdpa" if layout == "padded" else SEGMENTED)
    return torch.cat(Policy(model)(pack(pairs, layout)))


@pytest.mark.parametrize("layout", get_args(Layout))
def test_bf16_weights_in_fp32_products_are_as_good_as_an_fp32_model(layout: Layout) -> None:
    model = llama()
    exact = copy.deepcopy(model).float()
    make_lean(model)
    assert widen(model)
    assert is_wide(model)
    anchor_head(model)
    found, truth = logps(model, layout), logps(exact, layout)
    torch.testing.assert_close(found, truth, rtol=1e-5, atol=1e-4)
    found.sum().backward()
    truth.sum().backward()
    for (name, mine), other in zip(model.named_parameters(), exact.parameters(), strict=True):
        assert mine.dtype == mine.grad.dtype == torch.bfloat16, name  # what is trained and kept stays as it was
        assert (mine.grad.float() - other.grad).norm() <= 1e-2 * other.grad.norm(), name


def test_a_model_with_other_layers_that_refuse_fp32_stays_as_it_was() -> None:
    model = small_model(
        GPTNeoXForCausalLM, GPTNeoXConfig, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4,
    )  # fmt: skip
    before = model(torch.arange(5)[None]).logits
    assert not widen(model)
    assert not is_wide(model)
    assert torch.equal(model(torch.arange(5)[None]).logits, before)


def test_no_fp32_copy_of_a_weight_waits_for_the_backward_pass() -> None:
    model = llama()
    assert widen(model)
    layer, kept = model.model.layers[0].mlp.up_proj, []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        layer(torch.randn(3, 32))
    assert [tensor.dtype for tensor in kept if tensor.shape == layer.weight.shape] == [torch.bfloat16]
