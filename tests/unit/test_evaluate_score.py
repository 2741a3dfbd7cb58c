"""Log-probabilities of answers: the batched scorer against transformers' own loss, one row at a time."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from raylign.evaluate import score
from raylign.evaluate.score import AnswerTokens, score_answers


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    return LlamaForCausalLM(config).eval()


ROWS = [
    AnswerTokens([1, 5, 9], [4, 4, 7, 12]),
    AnswerTokens([1], [90]),
    AnswerTokens([1, 5, 9, 30, 31, 32, 33], list(range(2, 60))),
    AnswerTokens([1, 8], []),
    AnswerTokens([1, 5, 9, 30, 31], [3, 2]),
]


def one_at_a_time(model: LlamaForCausalLM, row: AnswerTokens) -> float:
    """transformers' loss is the mean negative log-probability over the labels that are not −100."""
    labels = [-100] * len(row.prompt) + row.answer
    with torch.inference_mode():
        loss = model(input_ids=torch.tensor([row.prompt + row.answer]), labels=torch.tensor([labels])).loss
    return -float(loss) * len(row.answer)


@pytest.mark.parametrize("tokens_per_batch", [2048, 24])
def test_batched_scores_equal_transformers_own_loss(
    model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch, tokens_per_batch: int
) -> None:
    monkeypatch.setattr(score, "_TOKENS_PER_BATCH", tokens_per_batch)
    scores = score_answers(model, ROWS)
    for row, found in zip(ROWS, scores, strict=True):
        if row.answer:
            assert found.logprob_sum == pytest.approx(one_at_a_time(model, row), rel=1e-5)
        assert found.tokens == len(row.answer)


def test_an_empty_answer_scores_nothing(model: LlamaForCausalLM) -> None:
    assert score_answers(model, [AnswerTokens([1, 2], [])]) == [score.Score(0.0, 0)]
