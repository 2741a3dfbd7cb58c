"""From messages to token ids: one BOS, the boundary in the right place, nothing cut unnoticed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from records import make_pair, user
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from raylign.records import Message, Pair
from raylign.train.tokens import TokenPair, encode_pair, encode_pairs, fit


def pair(chosen: str, rejected: str, prompt: list[Message] | None = None, name: str = "p") -> Pair:
    return make_pair(chosen, rejected, id=name, prompt=prompt or user("Name a colour."))


@pytest.fixture(scope="session")
def bundled_tokenizer(bundled_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(bundled_model)


@pytest.fixture
def words_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer that puts a BOS before every text, as Llama's does."""
    words = ["<unk>", "<s>", "</s>", "<user>", "<bot>", "<think>", "red", "blue", "hello", "Name", "a", "colour", "."]
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=["<user>", "<bot>", "<think>"],
    )  # fmt: skip
    assert tokenizer("red")["input_ids"] == [1, 6]
    return tokenizer


WITH_BOS = (
    "{{ bos_token }}{% for m in messages %}{{ '<user> ' if m.role == 'user' else '<bot> ' }}{{ m.content }} "
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<bot> {% endif %}"
)


def encoded(example: Pair, tokenizer: Any) -> TokenPair:
    found = encode_pair(example, tokenizer)
    assert isinstance(found, TokenPair), found
    return found


def test_the_bundled_model_sees_what_it_generates_from(bundled_tokenizer: Any) -> None:
    example = pair("Blue.", "The colour that I would name is red, I think.")
    found = encoded(example, bundled_tokenizer)
    generation = bundled_tokenizer.apply_chat_template(example.prompt, add_generation_prompt=True)["input_ids"]
    assert list(found.prompt_ids) == generation
    assert bundled_tokenizer.decode(found.chosen_ids) == "Blue.<|im_end|>"  # and not the template's newline
    assert bundled_tokenizer.decode(found.rejected_ids).startswith("The colour that")


def test_a_template_that_writes_the_bos_gets_no_second_one(words_tokenizer: Any) -> None:
    words_tokenizer.chat_template = WITH_BOS
    found = encoded(pair("blue", "red"), words_tokenizer)
    assert words_tokenizer.decode(found.prompt_ids) == "<s> <user> Name a colour . <bot>"
    assert [*found.prompt_ids, *found.chosen_ids].count(1) == 1
    assert found.chosen_ids == (7, 2)


def test_without_a_template_the_tokenizer_writes_the_only_bos(words_tokenizer: Any) -> None:
    found = encoded(pair("blue", "red"), words_tokenizer)
    assert found.prompt_ids[0] == 1
    assert [*found.prompt_ids, *found.chosen_ids].count(1) == 1
    assert found.chosen_ids == (7, 2)
    assert found.rejected_ids == (6, 2)


def test_a_template_that_opens_a_turn_otherwise_than_it_closes_one(words_tokenizer: Any) -> None:
    """The generation prompt ends in <think>, which a finished turn does not have: the answer is found behind it."""
    words_tokenizer.chat_template = WITH_BOS.replace("<bot> {% endif %}", "<bot> <think> {% endif %}")
    found = encoded(pair("blue", "red"), words_tokenizer)
    assert words_tokenizer.decode(found.prompt_ids) == "<s> <user> Name a colour . <bot>"
    assert found.chosen_ids == (7, 2)


def test_several_turns_and_a_system_text_stay_in_the_prompt(bundled_tokenizer: Any) -> None:
    prompt = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hello"),
        Message(role="assistant", content="Hello, blue sky."),
        Message(role="user", content="Blue?"),
    ]
    found = encoded(pair("Blue.", "Red.", prompt), bundled_tokenizer)
    text = bundled_tokenizer.decode(found.prompt_ids)
    assert text.count("<|im_start|>") == 5
    assert text.endswith("Blue?<|im_end|>\n<|im_start|>assistant\n")


def test_what_cannot_be_used_is_dropped_and_counted(bundled_tokenizer: Any) -> None:
    two_answers = pair("Blue.", "Red.", name="two")
    two_answers.chosen.append(Message(role="assistant", content="Or green."))
    rows = [
        pair("Blue.", "Red.", name="good"),
        pair("Blue.", "Red " * 200, name="long"),
        pair("Blue.", "Blue.", name="same"),
        pair("  \n", "Red.", name="empty"),
        two_answers,
        pair("Green.", "Red.", name="good"),
    ]
    found = encode_pairs(rows, bundled_tokenizer, max_length=100)
    assert [one.id for one in found.pairs] == ["good"]
    assert found.dropped == {"too_long": 1, "same_tokens": 1, "empty_answer": 1, "not_one_answer": 1, "repeated_id": 1}
    assert found.truncated == 0


def test_an_id_of_another_split_is_taken(bundled_tokenizer: Any) -> None:
    ids: set[str] = set()
    for expected in (["a"], []):
        found = encode_pairs([pair("Blue.", "Red.", name="a")], bundled_tokenizer, max_length=100, known=ids)
        assert [one.id for one in found.pairs] == expected
    assert found.dropped == {"repeated_id": 1}


def test_the_longest_allowed_pair_is_kept_whole(bundled_tokenizer: Any) -> None:
    example = pair("Blue.", "The colour that I would name is red, I think.")
    found = encoded(example, bundled_tokenizer)
    exact = len(found.prompt_ids) + len(found.rejected_ids)
    assert found.length == exact
    assert fit(found, exact, "drop", bundled_tokenizer) == found
    assert fit(found, exact - 1, "drop", bundled_tokenizer) == "too_long"


def test_a_template_that_refuses_a_conversation_is_a_reason(words_tokenizer: Any) -> None:
    words_tokenizer.chat_template = "{{ raise_exception('no') }}"
    assert encode_pair(pair("blue", "red"), words_tokenizer) == "template"


def test_a_cut_draft_is_not_trained_to_go_on_where_it_did_not_stop(bundled_tokenizer: Any) -> None:
    whole = encoded(pair("Blue.", "Red, because it is"), bundled_tokenizer)
    cut = encoded(replace(pair("Blue.", "Red, because it is"), rejected_cut_off=True), bundled_tokenizer)
    assert whole.rejected_ids[-1] == bundled_tokenizer.eos_token_id
    assert cut.rejected_ids == whole.rejected_ids[:-1]
    assert cut.chosen_ids == whole.chosen_ids
    assert cut.chosen_ids[-1] == bundled_tokenizer.eos_token_id


def test_a_long_prompt_is_cut_from_the_left_where_that_is_asked_for(words_tokenizer: Any) -> None:
    words_tokenizer.chat_template = WITH_BOS
    long = [Message(role="user", content="hello " * 30 + "Name a colour.")]
    rows = [pair("blue", "red"), pair("blue", "red red", long, name="q"), pair("red " * 40, "blue")]
    found = encode_pairs(rows, words_tokenizer, 12, "left_truncate_prompt")
    whole, cut = found.pairs
    assert whole == encoded(rows[0], words_tokenizer)
    assert cut.length == 12
    assert words_tokenizer.decode(cut.prompt_ids) == "<s> hello hello hello Name a colour . <bot>"
    assert (cut.chosen_ids, cut.rejected_ids) == ((7, 2), (6, 6, 2)), "answers are never cut"
    assert (found.truncated, found.dropped) == (1, {"too_long": 1})
    assert encode_pairs(rows, words_tokenizer, 12, "drop").dropped == {"too_long": 2}


@pytest.mark.parametrize(("max_length", "prompt"), [(6, (1, 8, 9)), (5, (1, 9)), (4, None)])
def test_behind_the_bos_at_least_one_token_of_the_prompt_is_left(
    words_tokenizer: Any, max_length: int, prompt: tuple[int, ...] | None
) -> None:
    found = fit(TokenPair("p", (1, 6, 7, 8, 9), (2,), (3, 4, 5)), max_length, "left_truncate_prompt", words_tokenizer)
    assert (found.prompt_ids if isinstance(found, TokenPair) else None) == prompt
    without = fit(TokenPair("p", (6, 7, 8, 9), (2,), (3, 4, 5)), 4, "left_truncate_prompt", words_tokenizer)
    assert isinstance(without, TokenPair)
    assert without.prompt_ids == (9,)


def test_a_single_answer_is_taken_where_the_objective_can_use_it(bundled_tokenizer: Any) -> None:
    whole = pair("Blue.", "Red.")
    desirable, undesirable = replace(whole, id="up", rejected=[]), replace(whole, id="down", chosen=[])
    rows, found = (
        [whole, desirable, undesirable, replace(whole, chosen=[], rejected=[])],
        encoded(whole, bundled_tokenizer),
    )
    either = encode_pairs(rows, bundled_tokenizer, 100, needed=(False, False))
    assert either.pairs == [
        found,
        TokenPair("up", found.prompt_ids, found.chosen_ids, ()),
        TokenPair("down", found.prompt_ids, (), found.rejected_ids),
    ]
    assert either.dropped == {"not_one_answer": 1}
    chosen_needed = encode_pairs(rows, bundled_tokenizer, 100, needed=(True, False))
    assert [one.id for one in chosen_needed.pairs] == ["p", "up"]
    assert chosen_needed.dropped == {"one_sided": 1, "not_one_answer": 1}
    assert encode_pairs(rows, bundled_tokenizer, 100).dropped == {"one_sided": 2, "not_one_answer": 1}


def test_a_cut_single_answer_has_no_end_of_turn(bundled_tokenizer: Any) -> None:
    row = replace(pair("Blue.", "Red, because it is"), chosen=[], rejected_cut_off=True)
    found = encode_pair(row, bundled_tokenizer, (False, False))
    assert isinstance(found, TokenPair)
    assert bundled_tokenizer.decode(found.rejected_ids) == "Red, because it is"
