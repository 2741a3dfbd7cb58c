"""What the prompts stage leaves in the run folder and says on the screen."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from raylign.config import LoopConfig, PromptsConfig
from raylign.errors import InputError
from raylign.parts import part_paths, read_records
from raylign.prompts import stage
from raylign.records import Prompt
from raylign.run_folder import RunFolder
from raylign.screen import Screen


def run(folder: RunFolder, seed: int = 0, **settings: Any) -> tuple[dict[str, Any], str]:
    stream = io.StringIO()
    config = LoopConfig(seed=seed, prompts=PromptsConfig(**settings))
    return stage.run(config, folder, Screen(stream)), stream.getvalue()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    lines = [json.dumps({"prompt": f"Question {number}?"}) for number in range(40)]
    path.write_text("\n".join([*lines, lines[0], "oops", '{"prompt": "\\ud83d"}']), encoding="utf-8")
    return path


def test_prompts_are_written_with_figures_that_add_up(rows: Path, tmp_path: Path) -> None:
    figures, _ = run(RunFolder(tmp_path / "run"), path=str(rows))
    written = read_records(tmp_path / "run" / "prompts", Prompt)
    assert figures["prompts"] == len(written) == 40
    assert figures["train"] == sum(prompt.split == "train" for prompt in written)
    assert figures["train"] + figures["heldout"] == 40
    assert figures["bad"] == {"not_json": 1, "bad_encoding": 1}
    assert figures["rows"] == 43 == figures["prompts"] + figures["duplicates"] + figures["over_limit"] + 2
    assert written[0].messages == [{"role": "user", "content": "Question 0?"}]


def test_bad_rows_are_listed_and_told_in_one_line(rows: Path, tmp_path: Path) -> None:
    _, said = run(RunFolder(tmp_path / "run"), path=str(rows))
    listing = tmp_path / "run" / "prompts" / "bad_rows.jsonl"
    bad = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()]
    assert [(row["file"], row["line"], row["reason"]) for row in bad] == [
        (str(rows), 42, "not_json"),
        (str(rows), 43, "bad_encoding"),
    ]
    assert said.count("\n") == 1
    assert f"2 of 43 rows left out, first {rows}:42 not_json" in said
    assert str(listing) in said


def test_good_rows_alone_say_nothing_and_list_nothing(tmp_path: Path) -> None:
    figures, said = run(RunFolder(tmp_path / "run"))
    assert said == ""
    assert figures["bad"] == {}
    assert not (tmp_path / "run" / "prompts" / "bad_rows.jsonl").exists()


def test_what_an_unfinished_attempt_left_is_replaced(rows: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    run(folder, path=str(rows))
    run(folder, limit=7)
    assert len(read_records(folder.stage("prompts"), Prompt)) == 7
    assert not (folder.stage("prompts") / "bad_rows.jsonl").exists()


def test_a_refused_file_leaves_nothing_half_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match="does not exist"):
        run(folder, path=str(tmp_path / "gone.jsonl"))
    assert part_paths(tmp_path / "run" / "prompts") == []


def test_the_seed_changes_neither_ids_nor_splits(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    run(folder, seed=0)
    before = read_records(folder.stage("prompts"), Prompt)
    run(folder, seed=1)
    assert read_records(folder.stage("prompts"), Prompt) == before
