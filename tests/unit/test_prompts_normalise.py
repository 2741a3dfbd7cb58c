"""What becomes a conversation, how it is normalised, and the ids and splits that follow from it."""

import unicodedata

import pytest

from raylign.prompts.normalise import Problem, clean, conversation, prompt_id, source_of, split_of
from raylign.records import Message

USER = {"role": "user", "content": "Hello"}
ASSISTANT = {"role": "assistant", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}


def read(row: object) -> list[Message] | Problem:
    return conversation(row, "prompt", "messages")


def reason(row: object) -> str:
    found = read(row)
    assert isinstance(found, Problem), found
    return found.reason


def identifier(row: object) -> str:
    found = read(row)
    assert not isinstance(found, Problem), found
    return prompt_id(found)


def test_a_prompt_is_one_user_turn() -> None:
    assert read({"prompt": "  Hello\r\n"}) == [USER]


def test_the_id_of_a_prompt_is_the_same_for_ever() -> None:
    """sha256 of `["prompt",[{"content":"Why is the sky blue?","role":"user"}]]`, by `sha256sum`, first 32 digits."""
    assert identifier({"prompt": "Why is the sky blue?"}) == "f294dc3801db80fd586885eb7526b089"


def test_a_string_and_the_same_single_turn_share_an_id() -> None:
    assert identifier({"prompt": "Hello"}) == identifier({"messages": [USER]})


def test_spelling_variants_of_the_same_text_share_an_id() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Caf\u00e9\nolé") for form in ("NFC", "NFD"))
    assert composed != decomposed
    texts = [composed, decomposed, composed.replace("\n", "\r\n"), composed.replace("\n", "\r"), f"\t{composed} \n"]
    assert len({identifier({"prompt": text}) for text in texts}) == 1


def test_other_text_or_other_turns_give_another_id() -> None:
    rows = [
        {"prompt": "Hello"},
        {"prompt": "hello"},
        {"prompt": "Hel lo"},
        {"messages": [SYSTEM, USER]},
        {"messages": [USER, ASSISTANT, USER]},
    ]
    assert len({identifier(row) for row in rows}) == len(rows)


def test_inner_white_space_is_content() -> None:
    assert clean(" a\n\n    b  c \r\n") == "a\n\n    b  c"


def test_a_conversation_keeps_its_system_text_and_turns() -> None:
    turns = [SYSTEM, USER, ASSISTANT, {"role": "user", "content": "And now?"}]
    assert read({"messages": turns}) == turns


def test_a_last_answer_is_left_out() -> None:
    """Fine-tuning data ends with the answer that the target model is to write itself."""
    assert read({"messages": [SYSTEM, USER, ASSISTANT]}) == [SYSTEM, USER]
    assert read({"messages": [USER, {"role": "assistant", "content": ""}]}) == [USER]


def test_an_empty_system_text_is_none() -> None:
    assert read({"messages": [{"role": "system", "content": " "}, USER]}) == [USER]


def test_only_role_and_content_of_a_turn_count() -> None:
    assert read({"messages": [{**USER, "name": "Ada", "weight": 1}]}) == [USER]


def test_messages_win_over_a_prompt_unless_they_are_null() -> None:
    assert read({"prompt": "Other", "messages": [USER]}) == [USER]
    assert read({"prompt": "Hello", "messages": None}) == [USER]


def test_field_names_can_be_chosen() -> None:
    assert conversation({"question": "Hello"}, "question", "chat") == [USER]
    assert conversation({"prompt": [USER]}, "text", "prompt") == [USER]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["Hello"], "not_object"),
        ("Hello", "not_object"),
        (None, "not_object"),
        ({}, "no_prompt"),
        ({"text": "Hello"}, "no_prompt"),
        ({"prompt": None}, "no_prompt"),
        ({"prompt": ""}, "empty_prompt"),
        ({"prompt": " \r\n\t"}, "empty_prompt"),
        ({"messages": []}, "empty_prompt"),
        ({"messages": [{"role": "user", "content": " "}]}, "empty_prompt"),
        ({"messages": [USER, {"role": "assistant", "content": ""}, USER]}, "empty_prompt"),
        ({"prompt": 5}, "wrong_type"),
        ({"prompt": ["Hello"]}, "wrong_type"),
        ({"messages": "Hello"}, "wrong_type"),
        ({"messages": {"role": "user"}}, "wrong_type"),
        ({"messages": ["Hello"]}, "wrong_type"),
        ({"messages": [{"role": "user"}]}, "wrong_type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]}, "wrong_type"),
        ({"messages": [{"from": "human", "value": "Hello"}]}, "bad_role"),
        ({"messages": [{"role": "tool", "content": "Hello"}]}, "bad_role"),
        ({"messages": [{"role": ["user"], "content": "Hello"}]}, "bad_role"),
        ({"messages": [SYSTEM]}, "bad_turns"),
        ({"messages": [ASSISTANT]}, "bad_turns"),
        ({"messages": [SYSTEM, ASSISTANT]}, "bad_turns"),
        ({"messages": [USER, USER]}, "bad_turns"),
        ({"messages": [USER, ASSISTANT, ASSISTANT]}, "bad_turns"),
        ({"messages": [ASSISTANT, USER]}, "bad_turns"),
        ({"messages": [USER, SYSTEM]}, "bad_turns"),
        ({"prompt": "half \ud83d of it"}, "bad_encoding"),
    ],
)
def test_a_row_that_is_no_prompt_has_a_reason(row: object, expected: str) -> None:
    assert reason(row) == expected


def test_a_problem_says_what_was_found_in_a_short_printable_line() -> None:
    for row in ({"prompt": list(range(100_000))}, {"messages": "x" * 100_000}, {"\ud83d" * 100_000: 1}):
        problem = read(row)
        assert isinstance(problem, Problem)
        assert len(problem.detail) < 300
        assert problem.detail.encode("utf-8").decode("utf-8").isprintable()


def test_a_deeply_nested_value_is_a_problem_and_no_crash() -> None:
    nested: object = "x"
    for _ in range(100_000):
        nested = [nested]
    assert reason({"messages": {"content": nested}}) == "wrong_type"


def test_the_source_is_what_the_row_says_or_the_file() -> None:
    assert source_of({"source": " mt_bench\n"}, "file") == "mt_bench"
    for row in ({}, {"source": ""}, {"source": 3}, {"source": None}, []):
        assert source_of(row, "file") == "file"
    assert isinstance(source_of({"source": "\ud83d"}, "file"), Problem)


def test_the_split_depends_on_the_id_alone_and_grows_with_the_share() -> None:
    identifiers = [identifier({"prompt": f"Question number {number}"}) for number in range(2000)]
    small = {one for one in identifiers if split_of(one, 0.15) == "heldout"}
    large = {one for one in identifiers if split_of(one, 0.3) == "heldout"}
    assert small < large
    assert 240 <= len(small) <= 360  # 300 expected, standard deviation 16
    assert {split_of(one, 0.0) for one in identifiers} == {"train"}


def test_the_split_of_an_id_is_the_same_for_ever() -> None:
    """`sha256sum` of `["split","<id>"]` starts with ca2504b5178a2, which is 0.7896 of 16**13."""
    assert split_of("f294dc3801db80fd586885eb7526b089", 0.7895) == "train"
    assert split_of("f294dc3801db80fd586885eb7526b089", 0.7897) == "heldout"
