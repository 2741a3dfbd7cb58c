"""Token ids under the chat templates that models come with: one BOS, the answer and its end of turn, nothing behind."""

from dataclasses import dataclass, replace

import pytest
from records import make_pair, user
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from raylign.records import Message, Pair
from raylign.train.tokens import TokenPair, encode_pair

WORDS = [
    *("system", "user", "assistant", "model", "INST", "[", "[/", "]", "#", "."),
    *("Name", "a", "colour", "blue", "red", "hello", "again", "Be", "brief", "rated", "good", "End"),
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


@dataclass(frozen=True)
class Style:
    """A family's template and special tokens, and how its tokens say a question and the answer `blue`."""

    template: str
    bos: str | None
    eos: str
    others: tuple[str, ...]
    question: str
    answer: str

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """A word-level tokenizer with these special tokens, which adds none by itself."""
        special = ["<unk>", *([self.bos] if self.bos else []), self.eos, *self.others]
        words = [*dict.fromkeys([*special, *WORDS])]
        core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
        core.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=core,
            unk_token="<unk>",
            bos_token=self.bos,
            eos_token=self.eos,
            additional_special_tokens=list(self.others),
        )
        tokenizer.chat_template = self.template
        return tokenizer


CHATML_QUESTION = "<|im_start|> user Name a colour . <|im_end|> <|im_start|> assistant"
STYLES = {
    "chatml": Style(CHATML, None, "<|im_end|>", ("<|im_start|>",), CHATML_QUESTION, "blue <|im_end|>"),
    "llama-3": Style(
        LLAMA_3,
        "<|begin_of_text|>",
        "<|eot_id|>",
        ("<|start_header_id|>", "<|end_header_id|>"),
        "<|begin_of_text|> <|start_header_id|> user <|end_header_id|> Name a colour . <|eot_id|> "
        "<|start_header_id|> assistant <|end_header_id|>",
        "blue <|eot_id|>",
    ),
    "mistral": Style(MISTRAL, "<s>", "</s>", (), "<s> [ INST ] Name a colour . [/ INST ]", "blue </s>"),
    "gemma": Style(
        GEMMA,
        "<bos>",
        "<eos>",
        ("<start_of_turn>", "<end_of_turn>"),
        "<bos> <start_of_turn> user Name a colour . <end_of_turn> <start_of_turn> model",
        "blue <end_of_turn>",
    ),
    "rating behind the answer": Style(
        CHATML.replace("{% endfor", "{% if m.role == 'assistant' %}rated good\n{% endif %}{% endfor"),
        *(None, "<|im_end|>", ("<|im_start|>",), CHATML_QUESTION, "blue <|im_end|>"),
    ),
    "next turn opened behind the answer": Style(
        CHATML + "{% if messages[-1].role == 'assistant' %}<|im_start|>user\n{% endif %}",
        *(None, "<|im_end|>", ("<|im_start|>",), CHATML_QUESTION, "blue <|im_end|>"),
    ),
    "turns closed by plain text": Style(
        "{% for m in messages %}# {{ m.role }} {{ m.content }}\n# End\n{% endfor %}"
        "{% if add_generation_prompt %}# assistant {% endif %}",
        *(None, "</s>", (), "# user Name a colour . # End # assistant", "blue"),
    ),
}  # fmt: skip


@pytest.fixture(params=STYLES, ids=lambda name: name.replace(" ", "-"))
def style(request: pytest.FixtureRequest) -> Style:
    return STYLES[request.param]


def message(role: str, content: str) -> Message:
    return Message(role=role, content=content)


def pair(prompt: list[Message], chosen: str = "blue", rejected: str = "red") -> Pair:
    return make_pair(chosen, rejected, prompt=prompt)


QUESTION = user("Name a colour.")


def encoded(example: Pair, tokenizer: PreTrainedTokenizerFast) -> TokenPair:
    found = encode_pair(example, tokenizer)
    assert isinstance(found, TokenPair), found
    return found


def tokens(tokenizer: PreTrainedTokenizerFast, ids: tuple[int, ...]) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(list(ids)))


def test_the_prompt_is_what_generation_starts_from_and_the_answer_ends_where_generation_does(style: Style) -> None:
    tokenizer = style.tokenizer()
    found = encoded(pair(QUESTION), tokenizer)
    assert tokens(tokenizer, found.prompt_ids) == style.question
    assert tokens(tokenizer, found.chosen_ids) == style.answer
    assert tokens(tokenizer, found.rejected_ids) == style.answer.replace("blue", "red")
    generation = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True)["input_ids"]
    assert list(found.prompt_ids) == generation


def test_there_is_one_bos_and_only_where_the_template_writes_one(style: Style) -> None:
    tokenizer = style.tokenizer()
    found = encoded(pair(QUESTION), tokenizer)
    whole = [*found.prompt_ids, *found.chosen_ids]
    if style.bos is not None:
        assert [at for at, token in enumerate(whole) if token == tokenizer.bos_token_id] == [0]


def test_earlier_turns_stay_in_the_prompt(style: Style) -> None:
    """Two turns of the assistant's own, whose ends of turn are no end of the answer."""
    tokenizer = style.tokenizer()
    prompt = [*QUESTION, message("assistant", "red"), message("user", "again"), message("assistant", "red"), *QUESTION]
    found = encoded(pair(prompt), tokenizer)
    assert tokens(tokenizer, found.prompt_ids).endswith(style.question.removeprefix(f"{style.bos} "))
    assert tokens(tokenizer, found.prompt_ids).count("red") == 2
    assert tokens(tokenizer, found.chosen_ids) == style.answer


def test_an_answer_that_closes_the_conversation_on_both_sides_takes_its_turns_to_the_prompt(style: Style) -> None:
    """Sides as whole conversations: what they have in common before their last turn is the prompt."""
    tokenizer = style.tokenizer()
    before = [*QUESTION, message("assistant", "red"), message("user", "again")]
    apart = pair(before)
    inside = replace(apart, prompt=[], chosen=[*before, *apart.chosen], rejected=[*before, *apart.rejected])
    assert encoded(inside, tokenizer) == encoded(apart, tokenizer)
    different = replace(inside, rejected=[*before[:2], message("user", "hello"), *apart.rejected])
    assert encode_pair(different, tokenizer) == "not_one_answer"


def test_white_space_around_an_answer_makes_no_difference(style: Style) -> None:
    tokenizer = style.tokenizer()
    assert encoded(pair(QUESTION, " blue \n", "\nred"), tokenizer) == encoded(pair(QUESTION), tokenizer)


def test_a_cut_draft_has_no_end_of_turn(style: Style) -> None:
    tokenizer = style.tokenizer()
    found = encoded(replace(pair(QUESTION), rejected_cut_off=True), tokenizer)
    assert tokens(tokenizer, found.rejected_ids) == "red"
    assert tokens(tokenizer, found.chosen_ids) == style.answer


def test_an_answer_that_speaks_of_the_end_of_turn_ends_behind_it() -> None:
    tokenizer = STYLES["rating behind the answer"].tokenizer()
    found = encoded(pair(QUESTION, "blue <|im_end|> again"), tokenizer)
    assert tokens(tokenizer, found.chosen_ids) == "blue <|im_end|> again <|im_end|>"


def test_a_system_text_is_a_reason_where_the_template_knows_none() -> None:
    prompt = [message("system", "Be brief."), *QUESTION]
    assert encode_pair(pair(prompt), STYLES["gemma"].tokenizer()) == "template"
    assert isinstance(encode_pair(pair(prompt), STYLES["llama-3"].tokenizer()), TokenPair)


def test_a_template_that_changes_what_the_answer_says_is_a_reason() -> None:
    shouting = replace(STYLES["chatml"], template=CHATML.replace("{{ m.content }}", "{{ m.content | upper }}"))
    assert encode_pair(pair(QUESTION), shouting.tokenizer()) == "template"
