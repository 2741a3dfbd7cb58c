"""Rows cut into slices for the workers of a group: nothing lost, nothing twice, and models that cannot are refused."""

import pytest
import torch
from transformers import LlamaConfig

from raylign.errors import ModelError
from raylign.train.layout import Choice
from raylign.train.packing import Layout, pack
from raylign.train.tokens import TokenPair
from raylign.train.ulysses import check_heads, check_row, slice_of

PAIRS = [
    TokenPair("a", (1, 2, 3, 4, 5), (6, 7, 8), (6, 9, 10, 11, 12, 13)),
    TokenPair("b", (1, 2, 3, 4), (14,), (15, 16)),
]


@pytest.mark.parametrize("layout", ["shared", "packed"])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 40])
def test_slices_hold_every_token_and_every_completion_token_once(count: int, layout: Layout) -> None:
    whole = pack(PAIRS, layout)
    row = whole.token_ids_RT[0]
    slices = [slice_of(whole, place, count) for place in range(count)]
    assert len({part.token_ids_RT.shape for part in slices}) == 1
    length = slices[0].token_ids_RT.shape[1]
    for name in ("token_ids_RT", "position_ids_RT"):
        joined = torch.cat([getattr(part, name)[0] for part in slices])
        assert torch.equal(joined[: len(row)], getattr(whole, name)[0])
        assert not joined[len(row) :].any()
    found = [
        (place * length + read, target, answer)
        for place, part in enumerate(slices)
        for read, target, answer in zip(*(x.tolist() for x in (part.read_N, part.target_N, part.answer_N)), strict=True)
    ]
    wanted = zip(*(x.tolist() for x in (whole.read_N, whole.target_N, whole.answer_N)), strict=True)
    assert sorted(found) == sorted(wanted)
    assert all(part.segments == whole.segments for part in slices)


def test_models_whose_rows_cannot_be_sliced_are_refused() -> None:
    settings = LlamaConfig(num_attention_heads=8, num_key_value_heads=4)
    check_heads(settings, 4)
    for layout in ("shared", "packed"):
        check_row(Choice(layout, "a reason"), 4)
    with pytest.raises(ModelError, match=r"sequence_parallel is 3, and the model's attention has 4 key-value heads"):
        check_heads(settings, 3)
    with pytest.raises(ModelError, match="sequence_parallel is 2, and answers of this model each need a row: hybrid"):
        check_row(Choice("padded", "hybrid"), 2)
