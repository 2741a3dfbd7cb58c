"""How likely answers are under the base model: a Ray task loads it and scores them. This acts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from raylign.arithmetic import fast_type
from raylign.cores import usable_cores
from raylign.errors import ModelError
from raylign.evaluate.compare import Score
from raylign.records import Message
from raylign.tokenizer import load_tokenizer

_TOKENS_PER_BATCH = 2048


@dataclass(frozen=True)
class AnswerTokens:
    """Token ids of a prompt, ready for the model's answer, and of the answer without its end mark."""

    prompt: list[int]
    answer: list[int]


def score_on_cluster(
    model: str, rows: Sequence[tuple[list[Message], str]], *, gpus: int, trust_remote_code: bool
) -> list[Score]:
    """Score (conversation, answer) rows in a Ray task, on a GPU or on all cores of one host; Ray must be running.

    Returns:
        One score a row, in order; an empty answer has no token and scores 0 over 0.

    Raises:
        ModelError: the model does not load (raised in the task, so it comes wrapped in Ray's error).
    """
    import ray

    task = ray.remote(num_cpus=1, num_gpus=gpus)(_score)
    scores: list[Score] = ray.get(task.remote(model, list(rows), gpus, trust_remote_code))
    return scores


def _score(model_name: str, rows: list[tuple[list[Message], str]], gpus: int, trust_remote_code: bool) -> list[Score]:
    tokenizer, model = load_tokenizer(model_name, trust_remote_code), load_model(model_name, gpus, trust_remote_code)
    return score_answers(model, [tokenise(tokenizer, messages, answer) for messages, answer in rows])


def load_model(name: str, gpus: int, trust_remote_code: bool) -> Any:
    """The model in the type this host is fast in, ready to score answers; without a GPU this process gets all cores.

    Raises:
        ModelError: it does not load.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from raylign.train.head import anchor_head
    from raylign.train.model_loading import DTYPES

    if not gpus:  # Ray sets one thread a logical CPU; the served models are gone by now, so take the cores
        torch.set_num_threads(usable_cores())
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name,
            dtype=DTYPES[fast_type(gpus)],
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the model {name} cannot be loaded to score answers: {error}",
            "name a folder or hub id that transformers loads with safetensors weights",
        ) from error
    anchor_head(model)
    return model.to("cuda" if gpus else "cpu").eval()


def tokenise(tokenizer: Any, messages: list[Message], answer: str) -> AnswerTokens:
    """Tokens as an endpoint sees them: the chat template's prompt, then the answer's own text.

    The template writes whatever begins a text, so the tokenizer adds nothing of its own to either part.
    """
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return AnswerTokens(
        prompt=tokenizer(prompt, add_special_tokens=False)["input_ids"],
        answer=tokenizer(answer, add_special_tokens=False)["input_ids"],
    )


def score_answers(model: Any, rows: Sequence[AnswerTokens]) -> list[Score]:
    """Summed log-probability of each answer's tokens given its prompt, in fp32 whatever the model's type.

    The end mark is left out: an answer cut at its token limit has none, and both kinds are compared.
    """
    import torch

    scores = [Score(0.0, 0)] * len(rows)
    with torch.inference_mode():
        for batch in _batches(rows):
            logprobs = _batch_logprobs(model, [rows[index] for index in batch])
            for index, logprob in zip(batch, logprobs, strict=True):
                scores[index] = Score(logprob, len(rows[index].answer))
    return scores


def _batches(rows: Sequence[AnswerTokens]) -> Iterator[list[int]]:
    """Row numbers in groups of similar length, each padded to _TOKENS_PER_BATCH at most; empty answers left out."""
    order = sorted(
        (index for index, row in enumerate(rows) if row.answer),
        key=lambda index: len(rows[index].prompt) + len(rows[index].answer),
    )
    batch: list[int] = []
    for index in order:
        longest = len(rows[index].prompt) + len(rows[index].answer)
        if batch and longest * (len(batch) + 1) > _TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _batch_logprobs(model: Any, rows: list[AnswerTokens]) -> list[float]:
    import torch

    from raylign.train.head import projection
    from raylign.train.logprobs import token_logps

    device = next(model.parameters()).device
    ids = [torch.tensor(row.prompt + row.answer, device=device) for row in rows]
    input_BT = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)  # on the right: causal attention ignores it
    mask_BT = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
    states_BTD = model.base_model(input_ids=input_BT, attention_mask=mask_BT).last_hidden_state
    sums = []
    for index, row in enumerate(rows):
        first = len(row.prompt) - 1  # a token is predicted by the state before it
        states_AD = states_BTD[index, first : first + len(row.answer)]
        logps_A = token_logps(states_AD, ids[index][len(row.prompt) :], projection(model))
        sums.append(float(logps_A.sum()))
    return sums
