"""Attention of small groups in bf16: as near to the exact values as SDPA."""

import torch
import torch.nn.functional as F

from raylign.train.attention_plan import plan_attention
from raylign.train.attention_products import grouped_products
from raylign.train.packing import Segment

TOKENS, HEADS, SIZE = 64, 3, 32


def most_to_the_first_token() -> list[torch.Tensor]:
    """bf16 queries, keys and values [T, heads, head_dim] of which the first key gets most of everybody's attention."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(TOKENS, HEADS, SIZE) for _ in range(3))
    query += 2.0
    key[0] = 0.8
    return [tensor.bfloat16() for tensor in (query, key, value)]


def attended_and_gradients(dtype: torch.dtype, by_groups: bool) -> torch.Tensor:
    """Attended values and the gradients of all three operands, flat, in fp64."""
    rows = [tensor.to(dtype).requires_grad_() for tensor in most_to_the_first_token()]
    if by_groups:
        plan = plan_attention([Segment(0, TOKENS, ())], torch.device("cpu"), dtype)
        attended = grouped_products(*rows, SIZE**-0.5, plan.groups)
    else:
        attended = F.scaled_dot_product_attention(*(tensor.transpose(0, 1) for tensor in rows), is_causal=True)
        attended = attended.transpose(0, 1)
    weights = torch.randn(attended.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = [attended, *torch.autograd.grad(attended, rows, weights)]
    return torch.cat([tensor.detach().double().flatten() for tensor in found])


def test_bf16_is_as_near_to_the_truth_as_sdpa_where_one_token_gets_most_attention() -> None:
    truth = attended_and_gradients(torch.float64, by_groups=False)
    ours, sdpa = (
        float((attended_and_gradients(torch.bfloat16, by_groups) - truth).norm()) for by_groups in (True, False)
    )
    assert ours <= 1.01 * sdpa
