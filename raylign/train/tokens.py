"""Pairs of messages to pairs of token ids: exactly the tokens that generation sees, and nothing cut unnoticed; pure.

The tokenizer is an argument (any Hugging Face tokenizer). A pair that cannot be used becomes a reason, and reasons
are counted, as are pairs whose prompt was cut. Where an answer ends is told from special tokens: what a template writes
behind its end of turn (a newline, a rating, the start of another turn) is left out, since no model ever generates it.
TRL keeps it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jinja2 import TemplateError

from raylign.records import Message, Pair

_Ids = tuple[int, ...]

Reason = Literal["not_one_answer", "one_sided", "empty_answer", "template", "same_tokens", "too_long", "repeated_id"]


@dataclass(frozen=True)
class TokenPair:
    """A pair as token ids; both answers continue the same prompt and, unless cut, end with the end-of-turn token.

    A row with a single answer, desirable (chosen) or undesirable (rejected), has no tokens in place of the other.
    """

    id: str
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of the prompt and its longer answer together."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))


@dataclass
class Encoded:
    """The usable pairs in order; pairs in = usable + dropped."""

    pairs: list[TokenPair] = field(default_factory=list)
    dropped: Counter[Reason] = field(default_factory=Counter)
    """How many could not be used, by reason."""
    truncated: int = 0
    """How many of the usable ones had their prompt cut."""


def encode_pairs(
    pairs: Sequence[Pair],
    tokenizer: Any,
    max_length: int,
    truncation: str = "drop",
    needed: tuple[bool, bool] = (True, True),
    known: set[str] | None = None,
) -> Encoded:
    """All pairs as token ids, or counted by what became of them.

    Args:
        pairs: prompt, chosen and rejected as messages; see `encode_pair`.
        tokenizer: a Hugging Face tokenizer.
        max_length: most tokens that prompt and longer answer may have together.
        truncation: `train.truncation`, what becomes of a pair that has more.
        needed: whether the objective can use no row without a chosen answer, and none without a rejected one.
        known: ids of usable pairs that there are already, in another split; added to. Log-probabilities are kept by id,
            so of two pairs with the same one the second cannot be used.
    """
    found, known = Encoded(), set() if known is None else known
    for pair in pairs:
        encoded = encode_pair(pair, tokenizer, needed)
        fitted = fit(encoded, max_length, truncation, tokenizer) if isinstance(encoded, TokenPair) else encoded
        if isinstance(fitted, TokenPair) and pair.id in known:
            fitted = "repeated_id"
        if isinstance(fitted, TokenPair):
            known.add(pair.id)
            found.pairs.append(fitted)
            found.truncated += fitted != encoded
        else:
            found.dropped[fitted] += 1
    return found


def fit(pair: TokenPair, max_length: int, truncation: str, tokenizer: Any) -> TokenPair | Reason:
    """The pair itself where it fits, else what `truncation` makes of it: its prompt cut from the left, or a reason.

    A BOS stays in front of what is left of the prompt, of which at least one token must be.
    """
    excess = pair.length - max_length
    if excess <= 0:
        return pair
    bos = pair.prompt_ids[:1] if pair.prompt_ids[0] == tokenizer.bos_token_id else ()
    kept = pair.prompt_ids[len(bos) + excess :]
    if truncation == "drop" or not kept:
        return "too_long"
    return replace(pair, prompt_ids=bos + kept)


def encode_pair(pair: Pair, tokenizer: Any, needed: tuple[bool, bool] = (True, True)) -> TokenPair | Reason:
    """One pair as token ids of any length, or why it cannot be used.

    Args:
        pair: prompt, chosen and rejected as messages. An answer is one assistant message. Turns that both sides have
            before theirs belong to the prompt. One side may be empty where the row is a single answer.
        tokenizer: a Hugging Face tokenizer. Its chat template writes all special tokens, the BOS included, so none is
            added to them; without a template, the contents stand in plain text behind the tokenizer's own BOS.
        needed: whether a row without a chosen answer, and one without a rejected one, is `one_sided`.
    """
    prompt, sides = _shared_turns(pair)
    for side in sides:
        if len(side) > 1 or (side and side[0]["role"] != "assistant"):
            return "not_one_answer"
        if side and not side[0]["content"].strip():
            return "empty_answer"
    if not any(sides):
        return "not_one_answer"
    if any(wanted and not side for wanted, side in zip(needed, sides, strict=True)):
        return "one_sided"
    prompt_ids: _Ids | None = None
    answers: list[_Ids] = []
    # A cut answer did not end there: an end of turn that is trained down would teach the model to go on for ever.
    for side, cut_off in zip(sides, (False, pair.rejected_cut_off), strict=True):
        if not side:
            answers.append(())
            continue
        found = _encode(tokenizer, prompt, side[0], cut_off)
        if found is None or prompt_ids not in (None, found[0]):
            return "template"
        prompt_ids = found[0]
        answers.append(found[1])
    if answers[0] == answers[1]:
        return "same_tokens"
    if any(side and not ids for side, ids in zip(sides, answers, strict=True)):
        return "empty_answer"
    return TokenPair(pair.id, prompt_ids or (), answers[0], answers[1])


def _shared_turns(pair: Pair) -> tuple[list[Message], tuple[list[Message], list[Message]]]:
    """The prompt with the turns that both sides have before their answers, and what is left of the sides."""
    sides = [side for side in (pair.chosen, pair.rejected) if side]
    before = sides[0][:-1] if sides and all(side[:-1] == sides[0][:-1] for side in sides) else []
    return [*pair.prompt, *before], (pair.chosen[len(before) :], pair.rejected[len(before) :])


def _encode(tokenizer: Any, prompt: list[Message], answer: Message, cut_off: bool) -> tuple[_Ids, _Ids] | None:
    """Prompt and answer as token ids, or None where the template refuses them, or changes what the answer says."""
    if tokenizer.chat_template is None:
        return _encode_plain(tokenizer, prompt, answer, cut_off)
    try:
        texts = _split_rendering(tokenizer, prompt, answer)
    except TemplateError:  # for example a system turn in a template that knows none
        return None
    if texts is None:
        return None
    before, after = texts
    prompt_ids = _ids(tokenizer, before)
    content = answer["content"].strip()
    at = after.find(content)
    if not prompt_ids or at < 0:
        return None
    said_ids = _behind(tokenizer, prompt_ids, before, after[: at + len(content)])
    if cut_off:
        return prompt_ids, said_ids
    return prompt_ids, _with_end_of_turn(tokenizer, _behind(tokenizer, prompt_ids, before, after), said_ids)


def _split_rendering(tokenizer: Any, prompt: list[Message], answer: Message) -> tuple[str, str] | None:
    """The rendered conversation before and from the answer on, or None where the boundary cannot be found."""
    opened = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*prompt, answer], tokenize=False)
    if whole.startswith(opened):
        return opened, whole[len(opened) :]
    # Some templates open a turn otherwise than they render a finished one: look for the answer behind the prompt.
    closed = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=False)
    at = whole.find(answer["content"].strip(), len(closed)) if whole.startswith(closed) else -1
    return (whole[:at], whole[at:]) if at >= 0 else None


def _encode_plain(tokenizer: Any, prompt: list[Message], answer: Message, cut_off: bool) -> tuple[_Ids, _Ids]:
    text = "\n\n".join(message["content"] for message in prompt) + "\n\n"
    prompt_ids = tuple(tokenizer(text)["input_ids"])
    if prompt_ids and prompt_ids[-1] == tokenizer.eos_token_id:  # tokenizers that close every text
        prompt_ids = prompt_ids[:-1]
    answer_ids = _ids(tokenizer, answer["content"])
    if tokenizer.eos_token_id is not None and not cut_off:
        answer_ids = (*answer_ids, tokenizer.eos_token_id)
    return prompt_ids, answer_ids


def _behind(tokenizer: Any, prompt_ids: _Ids, before: str, after: str) -> _Ids:
    """The tokens of `after` behind those of `before`.

    Where a token straddles the boundary, `after` is encoded alone: generation too starts from the prompt's tokens.
    """
    whole_ids = _ids(tokenizer, before + after)
    extends = whole_ids[: len(prompt_ids)] == prompt_ids
    return whole_ids[len(prompt_ids) :] if extends else _ids(tokenizer, after)


def _with_end_of_turn(tokenizer: Any, rest_ids: _Ids, said_ids: _Ids) -> _Ids:
    """`rest_ids`, all that the template writes from the answer on, up to the special token that ends the answer.

    It is the first one that the answer's own tokens, `said_ids`, do not hold. A template without one closes a turn by
    plain text, which stops no generation: then the answer is all.
    """
    special = _special_ids(tokenizer)
    inside = sum(token in special for token in said_ids)
    ends = [at for at, token in enumerate(rest_ids) if token in special]
    return rest_ids[: ends[inside] + 1] if len(ends) > inside else said_ids


def _special_ids(tokenizer: Any) -> set[int]:
    marked = {id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
    return marked | set(tokenizer.all_special_ids)


def _ids(tokenizer: Any, text: str) -> _Ids:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
