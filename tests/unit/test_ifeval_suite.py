"""The IFEval suite: input files good and bad, and scores of small sets that can be added up by hand."""

import json
import time
from pathlib import Path

import pytest

from raylign.errors import InputError
from raylign.evaluate.ifeval.checks import CHECKS
from raylign.evaluate.ifeval.suite import IfevalRow, Instruction, read_rows, score

COMMA = Instruction("punctuation:no_comma", {})
TITLE = Instruction("detectable_format:title", {})
QUOTED = Instruction("startend:quotation", {})
GOOD = {"key": 1, "prompt": "Hi", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
WORDS = {"num_words": 5, "relation": "at least"}


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def with_instruction(instruction_id: str, kwargs: dict[str, object]) -> dict[str, object]:
    return {**GOOD, "key": 2, "instruction_id_list": [instruction_id], "kwargs": [kwargs]}


def test_scores_added_up_by_hand() -> None:
    """Five rows, eight instructions.

    1 follows both strictly. 2 has a comma in its first line only, so it follows loosely, and its title strictly.
    3 follows the first and not the second. 4 is white space and 5 has no answer: both fail everything.
    """
    rows = [
        IfevalRow(1, "a", (COMMA, TITLE)),
        IfevalRow(2, "b", (COMMA, TITLE)),
        IfevalRow(3, "c", (COMMA, QUOTED)),
        IfevalRow(4, "d", (COMMA,)),
        IfevalRow(5, "e", (COMMA,)),
    ]
    scores = score(rows, {1: "<<T>>", 2: "Sure, here:\n<<T>>", 3: "no quotes", 4: " \n"})
    assert scores.prompts == ((1, 5), (2, 5))
    assert scores.instructions == ((4, 8), (5, 8))
    assert scores.by_instruction == {
        "detectable_format:title": ((2, 2), (2, 2)),
        "punctuation:no_comma": ((2, 5), (3, 5)),
        "startend:quotation": ((0, 1), (0, 1)),
    }
    assert (scores.empty, scores.missing) == (1, 1)
    assert [outcome.status for outcome in scores.outcomes] == ["ok", "ok", "ok", "empty", "missing"]
    assert scores.outcomes[1].strict == (False, True)
    assert scores.outcomes[1].loose == (True, True)


def test_an_empty_answer_follows_nothing_though_it_has_no_comma() -> None:
    assert score([IfevalRow(1, "a", (COMMA,))], {1: ""}).instructions.loose == (0, 1)


def test_a_missing_answer_may_be_given_as_none_and_no_rows_score_nothing() -> None:
    assert score([IfevalRow(1, "a", (COMMA,))], {1: None}).missing == 1
    assert score([], {}).prompts == ((0, 0), (0, 0))


def test_two_instructions_of_a_prompt_may_follow_loosely_by_different_variants() -> None:
    """Without its first line the answer has no comma, without its last it is JSON; no variant has both."""
    rows = [IfevalRow(1, "a", (COMMA, Instruction("detectable_format:json_format", {})))]
    scores = score(rows, {1: '["a", "b"]\nno more'})
    assert scores.prompts == ((0, 1), (1, 1))


@pytest.mark.parametrize("answer", ["*" * 20_000, "\n" * 20_000 + "x", "[<" * 10_000, "a" * 40_000, "\ud800 x", "\0"])
def test_no_answer_raises_or_takes_long(answer: str, shared_rows: list[IfevalRow]) -> None:
    one_a_type = {row.instructions[0].id: row for row in shared_rows}.values()
    started = time.monotonic()
    score(list(one_a_type), {row.key: answer for row in one_a_type})
    assert time.monotonic() - started < 20


@pytest.fixture(scope="module")
def shared_rows(shared_data: Path) -> list[IfevalRow]:
    return read_rows(shared_data / "ifeval_input_data.jsonl")


def test_the_public_prompts_are_all_read(shared_rows: list[IfevalRow]) -> None:
    assert len(shared_rows) == 541
    assert sum(len(row.instructions) for row in shared_rows) == 834
    assert {instruction.id for row in shared_rows for instruction in row.instructions} == set(CHECKS)


def test_prompts_as_their_own_answers_are_scored(shared_rows: list[IfevalRow]) -> None:
    """A prompt that is to be repeated and then answered does the first by itself, where it is given in full."""
    scores = score(shared_rows, {row.key: row.prompt for row in shared_rows})
    assert scores.instructions.strict.total == 834
    assert (scores.empty, scores.missing) == (0, 0)
    assert 0 < scores.prompts.strict.successes <= scores.prompts.loose.successes < 541
    assert scores.by_instruction["combination:repeat_prompt"].strict.successes >= 30


def test_rows_as_the_hub_stores_them(tmp_path: Path) -> None:
    """The copy on the hub names every argument of every type, null where unused; a BOM and blank lines do no harm."""
    row = with_instruction("length_constraints:number_words", {**WORDS, "keywords": None, "language": None})
    path = write(tmp_path / "in.jsonl", "\ufeff" + json.dumps(GOOD), "", row)
    assert read_rows(path) == [
        IfevalRow(1, "Hi", (COMMA,)),
        IfevalRow(2, "Hi", (Instruction("length_constraints:number_words", WORDS),)),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"key": 2,', "not JSON"),
        ([1], "a list, not an object"),
        ({**GOOD, "key": "2"}, "key is '2'"),
        ({**GOOD, "key": 2, "prompt": " "}, "prompt is ' '"),
        ({**GOOD, "key": 1}, "key 1 stands on an earlier line"),
        ({**GOOD, "key": 2, "instruction_id_list": []}, "instruction_id_list is []"),
        ({**GOOD, "key": 2, "kwargs": None}, "kwargs is None"),
        ({**GOOD, "key": 2, "kwargs": [{}, {}]}, "1 instructions but 2 kwargs"),
        (with_instruction("punctuation:no_commas", {}), "did you mean 'punctuation:no_comma'?"),
        (with_instruction("punctuation:no_comma", {"num_words": 3}), "has an argument 'num_words'; it takes none"),
        (with_instruction("length_constraints:number_words", {"num_words": 3}), "lacks its argument 'relation'"),
        (with_instruction("length_constraints:number_words", {**WORDS, "num_words": True}), "num_words of"),
        (with_instruction("length_constraints:number_words", {**WORDS, "relation": "at most"}), "'less than'"),
        (with_instruction("keywords:existence", {"keywords": "river"}), "a list of words"),
        (with_instruction("language:response_language", {"language": "xx"}), "language code"),
        (with_instruction("language:response_language", {"language": ["de"]}), "language code"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: object, said: str) -> None:
    path = write(tmp_path / "in.jsonl", GOOD, line)
    with pytest.raises(InputError) as caught:
        read_rows(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert said in str(caught.value)
    assert caught.value.cure


def test_a_file_that_is_missing_empty_or_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    write(tmp_path / "empty.jsonl", "")
    for name, said in [("none.jsonl", "No such file"), ("empty.jsonl", "no rows"), ("bytes.jsonl", "not UTF-8")]:
        with pytest.raises(InputError, match=said):
            read_rows(tmp_path / name)
