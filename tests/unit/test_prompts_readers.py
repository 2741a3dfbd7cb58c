"""Every file format gives the same rows; what cannot be read is a bad row with its line, or one clear error."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raylign.errors import InputError
from raylign.prompts.normalise import Problem
from raylign.prompts.readers import Columns, format_of, locate, read_rows

COLUMNS = Columns(("prompt", "messages"))
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
ROWS: list[dict[str, Any]] = [
    {"prompt": "Why is the sky blue?", "messages": None, "source": "a", "other": 1},
    {"prompt": None, "messages": CHAT, "source": "b", "other": 2},
    {"prompt": "Grüße, 世界 🌍", "messages": None, "source": None, "other": 3},
]


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def save_dataset(path: Path, rows: list[Any], split: str | None = None) -> Path:
    from datasets import Dataset, DatasetDict, disable_progress_bars

    disable_progress_bars()
    saved = Dataset.from_list(rows)
    (DatasetDict({split: saved}) if split else saved).save_to_disk(str(path))
    return path


def needed(row: object) -> dict[str, Any]:
    assert isinstance(row, dict)
    return {name: row[name] for name in (*COLUMNS.needed, "source")}


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "dataset", "dataset_dict"])
def test_every_format_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    path = {
        "jsonl": lambda: write_jsonl(tmp_path / "rows.jsonl", ROWS),
        "parquet": lambda: write_parquet(tmp_path / "rows.PARQUET", ROWS),
        "dataset": lambda: save_dataset(tmp_path / "rows", ROWS),
        "dataset_dict": lambda: save_dataset(tmp_path / "rows", ROWS, split="train"),
    }[kind]()
    found = list(read_rows(path, "auto", COLUMNS))
    assert [(number, needed(row)) for number, row in found] == [
        (number, needed(row)) for number, row in enumerate(ROWS, start=1)
    ]


def test_a_shuffled_dataset_is_read_in_its_saved_order(tmp_path: Path) -> None:
    from datasets import Dataset

    shuffled = Dataset.from_list([{"prompt": f"Question {number}"} for number in range(2500)]).shuffle(seed=3)
    shuffled.save_to_disk(str(tmp_path / "rows"))
    found = [row["prompt"] for _, row in read_rows(tmp_path / "rows", "auto", COLUMNS) if isinstance(row, dict)]
    assert found == shuffled["prompt"][:]
    assert found != sorted(found)


def test_line_numbers_count_the_blank_lines_that_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n   \n{"prompt": "b"}')
    assert list(read_rows(path, "auto", COLUMNS)) == [(1, {"prompt": "a"}), (4, {"prompt": "b"})]


def test_lines_that_cannot_be_decoded_are_rows_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [b'{"prompt": "cut', b'{"prompt": "\xff"}', b"[" * 100_000, b"9" * 5000, b'{"prompt": "good"}', b"5"]
    path.write_bytes(b"\n".join(lines))
    found = list(read_rows(path, "auto", COLUMNS))
    assert [row.reason if isinstance(row, Problem) else row for _, row in found] == [
        "not_json",
        "bad_encoding",
        "not_json",
        "not_json",
        {"prompt": "good"},
        5,
    ]


def test_text_that_is_no_utf8_in_parquet_is_one_bad_row(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"\xff\xfe", b"also good"], type=pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"prompt": broken}), tmp_path / "rows.parquet")
    found = list(read_rows(tmp_path / "rows.parquet", "auto", COLUMNS))
    assert [row.reason if isinstance(row, Problem) else row for _, row in found] == [
        {"prompt": "good"},
        "bad_encoding",
        {"prompt": "also good"},
    ]


def test_a_format_can_be_named_where_the_suffix_says_nothing(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.json", ROWS)
    with pytest.raises(InputError, match=r"suffix '\.json'.*set prompts\.format"):
        format_of(path)
    assert len(list(read_rows(path, "jsonl", COLUMNS))) == 3


@pytest.mark.parametrize(
    ("file_format", "name"), [("parquet", "rows.jsonl"), ("dataset", "rows.jsonl"), ("jsonl", "folder")]
)
def test_a_file_of_another_format_is_one_error(file_format: str, name: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=f"{name} cannot be read as {file_format}: .*prompts.format"):
        list(read_rows(tmp_path / name, file_format, COLUMNS))


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"_data_files": [{"filename": "gone.arrow"}]}'])
def test_a_damaged_dataset_folder_is_one_error(state: str, tmp_path: Path) -> None:
    path = save_dataset(tmp_path / "rows", ROWS)
    (path / "state.json").write_text(state, encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read as dataset"):
        list(read_rows(path, "auto", COLUMNS))


def test_a_dataset_without_a_train_split_names_its_splits(tmp_path: Path) -> None:
    path = save_dataset(tmp_path / "rows", ROWS, split="test_sft")
    with pytest.raises(InputError, match=r"no split 'train', only test_sft; name one split's folder"):
        list(read_rows(path, "auto", COLUMNS))
    assert len(list(read_rows(path / "test_sft", "auto", COLUMNS))) == 3


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "rows.parquet", [{"question": "Why?", "answer": "So."}])
    with pytest.raises(InputError, match=r"'prompt' or 'messages', only question, answer; .*prompts\.prompt_field"):
        list(read_rows(path, "auto", COLUMNS))


def test_a_path_that_does_not_exist_says_what_may_stand_there() -> None:
    with pytest.raises(InputError, match=r"prompts\.path someone/chat does not exist; .*save_to_disk"):
        locate("someone/chat")
