"""Heads that take the target's logit off a row: the same log-probabilities, and nearer to the truth in bf16."""

from typing import Any

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from raylign.train.head import anchor_head, check_projection, head_logps, projection
from raylign.train.logprobs import matrix_logps, token_logps

SIZES = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8,
}  # fmt: skip
KINDS = {
    "divided": lambda: GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=8.0)),
    "capped": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, final_logit_softcapping=30.0)),
}


def scored(model: Any, hidden: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities, and the gradient of the hidden states."""
    hidden = hidden.clone().requires_grad_()
    logps = token_logps(hidden, target, projection(model))
    logps.sum().backward()
    assert hidden.grad is not None
    return logps.detach(), hidden.grad.float()


@pytest.mark.parametrize("kind", KINDS)
def test_an_anchored_head_gives_the_same_log_probabilities(kind: str) -> None:
    torch.manual_seed(0)
    model = KINDS[kind]()
    hidden, target = 5 * torch.randn(40, 32), torch.randint(300, (40,))
    expected = scored(model, hidden, target)
    anchor_head(model)
    check_projection(model)
    for found, wanted in zip(scored(model, hidden, target), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_it_takes_most_of_bf16s_error_from_large_logits() -> None:
    torch.manual_seed(0)
    model = KINDS["divided"]()
    model.config.logits_scaling = 1.0
    head = model.get_output_embeddings()
    with torch.no_grad():
        head.weight.mul_(10).add_(1.0)  # logits of about twenty, as language models have them
        model.bfloat16()
        hidden = (0.6 + torch.randn(200, 32)).bfloat16()
        target = (hidden @ head.weight.T).float().topk(5).indices[:, 3]
        truth = (
            torch.log_softmax(hidden.double() @ head.weight.double().T, dim=-1).gather(1, target[:, None]).squeeze(1)
        )
    errors = [float((scored(model, hidden, target)[0].double() - truth).norm())]
    anchor_head(model)
    errors.append(float((scored(model, hidden, target)[0].double() - truth).norm()))
    assert errors[1] < 0.4 * errors[0]


def test_without_targets_the_head_gives_what_it_gave() -> None:
    model = KINDS["divided"]()
    ids = torch.arange(12)[None]
    expected = model(input_ids=ids).logits
    anchor_head(model)
    assert torch.equal(model(input_ids=ids).logits, expected)


def test_a_head_with_a_bias_is_left_alone() -> None:
    model = KINDS["divided"]()
    model.set_output_embeddings(torch.nn.Linear(32, 300))
    anchor_head(model)
    assert "forward" not in vars(model.get_output_embeddings())


def gradients(logps: torch.Tensor, *asked: torch.Tensor) -> list[torch.Tensor]:
    """Log-probabilities and their gradients, each token's with a weight of its own."""
    weights = torch.linspace(-1, 2, len(logps))
    return [logps.detach(), *torch.autograd.grad((logps * weights).sum(), asked, retain_graph=True)]


@pytest.mark.parametrize("kept_columns", [0, 12, 50])
def test_a_plain_matrix_gives_what_its_module_gives(kept_columns: int) -> None:
    torch.manual_seed(5)
    hidden, target = torch.randn(23, 16, requires_grad=True), torch.randint(50, (23,))
    weight = torch.randn(50, 16, requires_grad=True)
    plain = torch.log_softmax(hidden @ weight.T, dim=-1).gather(1, target[:, None]).squeeze(1)
    logps = matrix_logps(hidden, weight, target, block_logits=8 * 23, kept_logits=kept_columns * 23)
    expected = gradients(plain, hidden, weight)
    for _ in range(2):  # a second backward pass finds no logits that the first has worked on
        for found, wanted in zip(gradients(logps, hidden, weight), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_blocks_add_up_to_the_gradients_of_one_product() -> None:
    """In bf16 a sum that is rounded after every block is off by several times as much as one that is rounded once."""
    torch.manual_seed(0)
    hidden, target = torch.randn(512, 64).bfloat16().requires_grad_(), torch.randint(128, (512,))
    weight = torch.randn(128, 64).bfloat16().requires_grad_()
    precise = hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    truth, errors = gradients(matrix_logps(*precise, target), *precise)[1:], []
    for columns in (128, 4):
        found = gradients(matrix_logps(hidden, weight, target, block_logits=columns * 512), hidden, weight)[1:]
        assert {gradient.dtype for gradient in found} == {torch.bfloat16}
        errors.append([float((one.double() - true).norm()) for one, true in zip(found, truth, strict=True)])
    assert all(in_blocks <= 1.05 * whole for whole, in_blocks in zip(*errors, strict=True))


@pytest.mark.parametrize("in_blocks", [True, False])
def test_large_logits_round_no_probabilities_of_a_row_alike(in_blocks: bool) -> None:
    """fp32 has steps of 4e-6 at a log-sum-exp of 33, which would put all of a row off by the same share."""
    torch.manual_seed(0)
    weight_VD = torch.randn(4096, 16) * 2 + 20
    hidden_ND, target_N = torch.eye(16), torch.randint(4096, (16,))  # logits are the weight's columns, to the bit
    logits_NV = weight_VD.t().double().requires_grad_()
    true_N = torch.log_softmax(logits_NV, dim=-1).gather(1, target_N[:, None]).squeeze(1)
    true_N.sum().backward()
    weight_VD.requires_grad_()
    if in_blocks:
        logps_N = matrix_logps(hidden_ND, weight_VD, target_N, block_logits=16 * 1000)
    else:
        logps_N = token_logps(hidden_ND, target_N, lambda hidden, target: hidden @ weight_VD.t())
    logps_N.sum().backward()
    assert weight_VD.grad is not None
    assert logits_NV.grad is not None
    assert (logps_N - true_N).abs().max() < 7e-7
    others = logits_NV.grad < 0
    off_NV = torch.where(others, weight_VD.grad.t().double() / logits_NV.grad - 1, 0.0)
    assert off_NV.mean(dim=-1).abs().max() < 2e-7


def test_a_bf16_weight_under_fp32_products_gives_what_its_fp32_copy_gives() -> None:
    torch.manual_seed(0)
    hidden, target = torch.randn(20, 16, requires_grad=True), torch.randint(50, (20,))
    weight = torch.randn(50, 16).bfloat16().requires_grad_()
    found = gradients(matrix_logps(hidden, weight, target, block_logits=160), hidden, weight)
    expected = gradients(matrix_logps(hidden, weight.float(), target, block_logits=160), hidden, weight)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_matrix_that_is_not_trained_gets_no_gradient() -> None:
    hidden, weight = torch.randn(7, 16, requires_grad=True), torch.randn(50, 16)
    matrix_logps(hidden, weight, torch.randint(50, (7,)), block_logits=70).sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_a_worker_whose_slice_has_no_answer_tokens_has_gradients_of_zero() -> None:
    hidden, weight = torch.randn(0, 16, requires_grad=True), torch.randn(50, 16, requires_grad=True)
    logps = matrix_logps(hidden, weight, torch.randint(50, (0,)), block_logits=70, kept_logits=100)
    logps.sum().backward()
    assert logps.shape == (0,)
    assert weight.grad is not None
    assert not weight.grad.any()


@pytest.mark.parametrize("kind", ["plain", *KINDS])
@pytest.mark.parametrize("in_bf16", [False, True])
def test_every_head_gives_the_same_whether_its_weight_lies_whole(kind: str, in_bf16: bool) -> None:
    torch.manual_seed(0)
    model = KINDS[kind]() if kind in KINDS else LlamaForCausalLM(LlamaConfig(**SIZES))
    anchor_head(model)
    model.to(torch.bfloat16 if in_bf16 else torch.float32)
    hidden, target = (5 * torch.randn(40, 32)).requires_grad_(), torch.randint(300, (40,))
    weight, made = model.get_output_embeddings().weight, []
    with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
        for whole in (True, False):
            made.append(gradients(head_logps(model, hidden, target, 0, whole), hidden, weight))
    for found, wanted in zip(*made, strict=True):
        tolerance = 2e-2 if in_bf16 else 1e-5
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)
