"""Pairs of messages to pairs of token ids: exactly the tokens that generation sees, and nothing cut unnoticed; pure.

The tokenizer is an argument (any Hugging Face tokenizer). A pair that cannot be used becomes a reason, and reasons
are counted. Departure from TRL: what a template writes after the end-of-turn token (often a newline) is left out,
since no model ever generates it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jinja2 import TemplateError

from raylign.records import Message, Pair

Reason = Literal["not_one_answer", "empty_answer", "template", "same_tokens", "too_long"]


@dataclass(frozen=True)
class TokenPair:
    """A pair as token ids; both answers continue the same prompt and, unless cut, end with the end-of-turn token."""

    id: str
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]


def encode_pairs(pairs: Sequence[Pair], tokenizer: Any, max_length: int) -> tuple[list[TokenPair], dict[str, int]]:
    """The usable pairs in order, and how many were dropped for each reason; pairs in = usable + dropped."""
    usable: list[TokenPair] = []
    dropped: Counter[str] = Counter()
    for pair in pairs:
        encoded = encode_pair(pair, tokenizer, max_length)
        if isinstance(encoded, TokenPair):
            usable.append(encoded)
        else:
            dropped[encoded] += 1
    return usable, dict(dropped)


def encode_pair(pair: Pair, tokenizer: Any, max_length: int) -> TokenPair | Reason:
    """One pair as token ids, or why it cannot be used.

    Args:
        pair: prompt, chosen and rejected as messages; each answer is one assistant message.
        tokenizer: a Hugging Face tokenizer. Its chat template writes all special tokens, the BOS included, so none is
            added to them; without a template, the contents stand in plain text behind the tokenizer's own BOS.
        max_length: most tokens that prompt and longer answer may have together.
    """
    for answer in (pair.chosen, pair.rejected):
        if len(answer) != 1 or answer[0]["role"] != "assistant":
            return "not_one_answer"
        if not answer[0]["content"].strip():
            return "empty_answer"
    chosen = _encode_side(tokenizer, pair.prompt, pair.chosen)
    rejected = _encode_side(tokenizer, pair.prompt, pair.rejected)
    if chosen is None or rejected is None or chosen[0] != rejected[0]:
        return "template"
    prompt_ids, chosen_ids, rejected_ids = chosen[0], chosen[1], rejected[1]
    if pair.rejected_cut_off and rejected_ids[-1] == tokenizer.eos_token_id:
        # The model did not stop there: an end of turn that is trained down would teach it to go on for ever.
        rejected_ids = rejected_ids[:-1]
    if chosen_ids == rejected_ids:
        return "same_tokens"
    if not rejected_ids:
        return "empty_answer"
    if len(prompt_ids) + max(len(chosen_ids), len(rejected_ids)) > max_length:
        return "too_long"
    return TokenPair(pair.id, tuple(prompt_ids), tuple(chosen_ids), tuple(rejected_ids))


def _encode_side(tokenizer: Any, prompt: list[Message], answer: list[Message]) -> tuple[list[int], list[int]] | None:
    if tokenizer.chat_template is None:
        return _encode_plain(tokenizer, prompt, answer)
    try:
        texts = _split_rendering(tokenizer, prompt, answer)
    except TemplateError:  # for example a system turn in a template that knows none
        return None
    if texts is None:
        return None
    before, after = texts
    prompt_ids = _ids(tokenizer, before)
    whole_ids = _ids(tokenizer, before + after)
    # Where a token straddles the boundary, the answer is encoded alone: generation too starts from the prompt's tokens.
    extends = whole_ids[: len(prompt_ids)] == prompt_ids
    answer_ids = whole_ids[len(prompt_ids) :] if extends else _ids(tokenizer, after)
    answer_ids = _without_tail(tokenizer, answer_ids)
    return (prompt_ids, answer_ids) if prompt_ids and answer_ids else None


def _split_rendering(tokenizer: Any, prompt: list[Message], answer: list[Message]) -> tuple[str, str] | None:
    """The rendered conversation before and from the answer on, or None where the boundary cannot be found."""
    opened = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*prompt, *answer], tokenize=False)
    if whole.startswith(opened):
        return opened, whole[len(opened) :]
    # Some templates open a turn otherwise than they render a finished one: look for the answer behind the prompt.
    closed = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=False)
    at = whole.find(answer[0]["content"].strip(), len(closed)) if whole.startswith(closed) else -1
    return (whole[:at], whole[at:]) if at >= 0 else None


def _encode_plain(tokenizer: Any, prompt: list[Message], answer: list[Message]) -> tuple[list[int], list[int]]:
    text = "\n\n".join(message["content"] for message in prompt) + "\n\n"
    prompt_ids = list(tokenizer(text)["input_ids"])
    if prompt_ids and prompt_ids[-1] == tokenizer.eos_token_id:  # tokenizers that close every text
        prompt_ids.pop()
    answer_ids = _ids(tokenizer, answer[0]["content"])
    if tokenizer.eos_token_id is not None:
        answer_ids.append(tokenizer.eos_token_id)
    return prompt_ids, answer_ids


def _without_tail(tokenizer: Any, answer_ids: list[int]) -> list[int]:
    end = tokenizer.eos_token_id
    if end not in answer_ids:
        return answer_ids
    length = len(answer_ids) - answer_ids[::-1].index(end)
    return answer_ids[:length] if not tokenizer.decode(answer_ids[length:]).strip() else answer_ids


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
