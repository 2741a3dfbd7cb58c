"""Which rows of a file become prompts: duplicates, splits, limits, bad rows and their bound, the shipped prompts."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from raylign.config import PromptsConfig
from raylign.errors import InputError
from raylign.prompts.prompt_set import PromptSet, read_prompts


def write_lines(folder: Path, lines: list[Any]) -> str:
    path = folder / "rows.jsonl"
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return str(path)


def read_lines(folder: Path, lines: list[Any], **settings: Any) -> PromptSet:
    return read_prompts(PromptsConfig(path=write_lines(folder, lines), **settings))


def questions(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"Question number {number}?"} for number in range(count)]


def test_the_first_of_equal_conversations_stays_and_the_rest_is_counted(tmp_path: Path) -> None:
    turn = {"role": "user", "content": "Hello"}
    answer = {"role": "assistant", "content": "Hi"}
    rows = [
        {"prompt": "Hello", "source": "first"},
        {"prompt": "Other"},
        {"prompt": " Hello\r\n", "source": "second"},
        {"messages": [turn, answer]},
    ]
    found = read_lines(tmp_path, rows)
    assert [(prompt.messages[0]["content"], prompt.source) for prompt in found.prompts] == [
        ("Hello", "first"),
        ("Other", "rows"),
    ]
    assert (found.duplicates, found.rows) == (2, 4)


def test_a_prompt_keeps_its_split_when_others_move_come_or_go(tmp_path: Path) -> None:
    rows = questions(200)
    shuffled = random.Random(5).sample(rows, 200)
    splits = {prompt.id: prompt.split for prompt in read_lines(tmp_path, rows).prompts}
    for variant in (shuffled, rows[:20], [{"prompt": "One more"}, *rows]):
        again = {prompt.id: prompt.split for prompt in read_lines(tmp_path, variant).prompts}
        assert {one: again[one] for one in again if one in splits} == {
            one: splits[one] for one in again if one in splits
        }
    assert set(splits.values()) == {"train", "heldout"}


def test_the_limit_counts_unique_prompts_in_file_order(tmp_path: Path) -> None:
    rows = [*questions(3), *questions(3), {"prompt": "Late"}, {"prompt": "Late"}, {"prompt": "Later"}]
    found = read_lines(tmp_path, rows, limit=4)
    assert [prompt.messages[0]["content"] for prompt in found.prompts][-1] == "Late"
    assert (len(found.prompts), found.duplicates, found.over_limit, found.rows) == (4, 4, 1, 9)


def test_bad_rows_are_kept_with_file_line_and_reason_and_all_rows_add_up(tmp_path: Path) -> None:
    good = questions(60)
    found = read_lines(tmp_path, [*good[:30], "not json", "", {"prompt": ""}, *good[30:], {"text": "x"}])
    path = str(tmp_path / "rows.jsonl")
    assert [(row.file, row.line, row.reason) for row in found.bad] == [
        (path, 31, "not_json"),
        (path, 33, "empty_prompt"),
        (path, 64, "no_prompt"),
    ]
    assert found.bad_reasons() == {"not_json": 1, "empty_prompt": 1, "no_prompt": 1}
    assert (len(found.prompts), found.rows) == (60, 63)
    assert "'text'" in found.bad[2].detail


def test_too_large_a_share_of_bad_rows_stops_and_names_the_first(tmp_path: Path) -> None:
    rows = [*questions(8), "{", {"prompt": 5}]
    assert len(read_lines(tmp_path, rows, max_bad_share=0.2).prompts) == 8
    with pytest.raises(InputError, match=r"2 of 10 rows .*rows\.jsonl:9 not_json .*max_bad_share is 0\.19; mend"):
        read_lines(tmp_path, rows, max_bad_share=0.19)


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_a_file_without_rows_is_refused(lines: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows\.jsonl holds no rows; write one prompt a row"):
        read_lines(tmp_path, lines)


def test_a_file_of_bad_rows_alone_is_refused_whatever_the_share(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 of 2 rows .*rows\.jsonl:1 not_json"):
        read_lines(tmp_path, ["{", "["], max_bad_share=1.0)


def test_the_shipped_prompts_are_many_unique_and_whole() -> None:
    found = read_prompts(PromptsConfig())
    assert len(found.prompts) >= 320
    assert (found.bad, found.duplicates) == ([], 0)
    assert {prompt.source for prompt in found.prompts} == {"everyday"}
    lengths = [len(prompt.messages[0]["content"].split()) for prompt in found.prompts]
    assert min(lengths) >= 5
    assert max(lengths) <= 40
    heldout = sum(prompt.split == "heldout" for prompt in found.prompts)
    assert 0.10 <= heldout / len(found.prompts) <= 0.20


def test_the_real_prompts_are_read_whole_and_their_two_duplicates_found(shared_data: Path) -> None:
    found = read_prompts(PromptsConfig(path=str(shared_data / "prompts.jsonl")))
    assert (found.rows, len(found.prompts), found.duplicates, len(found.bad)) == (1128, 1126, 2, 0)
    assert {prompt.source.split("/")[0] for prompt in found.prompts} >= {"self-instruct"}


def test_reading_prompts_needs_no_cluster_engine_or_client() -> None:
    heavy = ("ray", "vllm", "deepspeed", "torch", "openai", "httpx", "datasets")
    code = f"import sys, raylign.prompts.stage; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
