"""Parts are whole or absent, and a stopped stage finds what it has written."""

from pathlib import Path

import pytest

from raylign.parts import PartWriter, part_paths, read_records, written_ids
from raylign.records import Prompt


def prompts(*numbers: int) -> list[Prompt]:
    return [Prompt(f"p{number}", [{"role": "user", "content": str(number)}], "train", "") for number in numbers]


def test_rows_come_back_in_order_over_several_parts(tmp_path: Path) -> None:
    with PartWriter(tmp_path, Prompt, rows_per_part=2) as writer:
        for number in range(5):
            writer.add(prompts(number))
    assert len(part_paths(tmp_path)) == 3
    assert read_records(tmp_path, Prompt) == prompts(*range(5))


def test_what_was_waiting_is_written_when_the_block_fails(tmp_path: Path) -> None:
    def stopped_stage() -> None:
        with PartWriter(tmp_path, Prompt) as writer:
            writer.add(prompts(1, 2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_stage()
    assert written_ids(tmp_path, "id") == {"p1", "p2"}


def test_a_later_writer_goes_on_and_clears_half_written_files(tmp_path: Path) -> None:
    with PartWriter(tmp_path, Prompt) as writer:
        writer.add(prompts(1))
    (tmp_path / ".part-00001.parquet.123.tmp").write_bytes(b"PAR1 torn")
    with PartWriter(tmp_path, Prompt) as writer:
        writer.add(prompts(2))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["part-00000.parquet", "part-00001.parquet"]
    assert read_records(tmp_path, Prompt) == prompts(1, 2)


def test_a_slow_stage_writes_by_time(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path, Prompt, rows_per_part=1000, seconds_per_part=0.0)
    writer.add(prompts(1))
    assert written_ids(tmp_path, "id") == {"p1"}


def test_an_empty_folder_has_no_rows(tmp_path: Path) -> None:
    assert read_records(tmp_path / "none", Prompt) == []
    assert written_ids(tmp_path / "none", "id") == set()
