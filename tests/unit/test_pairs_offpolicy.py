"""Importing pairs: every row of the file becomes a pair or a counted rejection, on the ids and splits of prompts."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raylign.config import LoopConfig, load_config
from raylign.errors import InputError
from raylign.pairs import stage
from raylign.parts import read_records
from raylign.prompts import stage as prompts_stage
from raylign.records import Pair, Prompt, Rejected
from raylign.run_folder import RunFolder
from raylign.screen import Screen


def write_lines(path: Path, rows: list[Any]) -> Path:
    text = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
    return path


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "prompt": f"Question {number}?", "chosen": f"The answer to number {number}.", "rejected": "I do not know it.",
        **changes,
    }  # fmt: skip


def configuration(path: Path, *overrides: str) -> LoopConfig:
    return load_config(None, ["pairs.source=offpolicy", f"offpolicy.path={path}", *overrides])


def run(folder: RunFolder, config: LoopConfig) -> tuple[dict[str, Any], str]:
    said = io.StringIO()
    return stage.run(config, folder, Screen(said)), said.getvalue()


def stored(folder: RunFolder) -> tuple[list[Pair], list[Rejected]]:
    pairs = [pair for name in ("train", "heldout") for pair in read_records(folder.path / "pairs" / name, Pair)]
    return pairs, read_records(folder.path / "pairs" / "rejected", Rejected)


def test_every_row_is_a_pair_or_a_counted_rejection(tmp_path: Path) -> None:
    rows = [
        *(row(number) for number in range(30)),
        row(3),
        row(40, chosen="I do not know  it."),
        row(41, rejected=" "),
        row(42, chosen="No."),
        {"prompt": "Scored?", "completions": [{"response": text, "overall_score": 5} for text in ("One.", "Two.")]},
        "{oops",
        {"prompt": "No answers?"},
    ]
    path, folder = write_lines(tmp_path / "rows.jsonl", rows), RunFolder(tmp_path / "run")
    figures, said = run(folder, configuration(path, "offpolicy.max_bad_share=0.1"))
    assert (figures["source"], figures["candidates"], figures["pairs"]) == ("offpolicy", 37, 30)
    assert figures["rejected"] == {
        "duplicate": 1, "identical": 1, "empty_draft": 1, "too_short": 1, "tie": 1, "not_json": 1, "no_answers": 1,
    }  # fmt: skip
    pairs, rejected = stored(folder)
    assert (len(pairs), Counter(one.reason for one in rejected)) == (30, Counter(figures["rejected"]))
    assert len({one.id for one in (*pairs, *rejected)}) == 37
    details = {one.reason: one.detail for one in rejected}
    assert f"{path}:36 not_json" in details["not_json"]
    assert f"{path}:37 no_answers" in details["no_answers"]
    assert "2 of 37 rows cannot be read" in said


def test_a_pair_has_the_rows_answers_and_the_id_and_split_of_its_prompt(tmp_path: Path) -> None:
    path, folder = write_lines(tmp_path / "pairs.jsonl", [row(n) for n in range(60)]), RunFolder(tmp_path / "run")
    config = configuration(path, f"prompts.path={path}", "prompts.heldout_share=0.3")
    prompts_stage.run(config, folder, Screen(io.StringIO()))
    figures, _ = run(folder, config)
    prompts = {prompt.id: prompt for prompt in read_records(folder.path / "prompts", Prompt)}
    pairs, _ = stored(folder)
    assert {pair.prompt_id for pair in pairs} == set(prompts), "the file read as prompts gives the same ids"
    assert all(pair.split == prompts[pair.prompt_id].split for pair in pairs)
    assert figures["heldout"] > 0
    pair = next(pair for pair in pairs if pair.prompt[0]["content"] == "Question 7?")
    assert pair.chosen == [{"role": "assistant", "content": "The answer to number 7."}]
    assert pair.rejected == [{"role": "assistant", "content": "I do not know it."}]
    assert (pair.source, pair.template, pair.target_model) == ("pairs", "offpolicy", "unknown")


def test_pairs_can_be_kept_to_the_runs_prompts(tmp_path: Path) -> None:
    """So that data sets of different sources compare on equal prompts."""
    questions = write_lines(
        tmp_path / "questions.jsonl", [{"prompt": f"Question {number}?"} for number in range(5, 15)]
    )
    path, folder = write_lines(tmp_path / "pairs.jsonl", [row(n) for n in range(12)]), RunFolder(tmp_path / "run")
    config = configuration(path, f"prompts.path={questions}", "offpolicy.on_prompts_only=true")
    prompts_stage.run(config, folder, Screen(io.StringIO()))
    figures, _ = run(folder, config)
    assert (figures["pairs"], figures["rejected"]) == (7, {"other_prompt": 5})
    pairs, _ = stored(folder)
    assert {pair.prompt_id for pair in pairs} <= {p.id for p in read_records(folder.path / "prompts", Prompt)}


@pytest.mark.parametrize("kind", ["parquet", "dataset"])
def test_formats_that_store_columns_give_the_same_pairs(kind: str, tmp_path: Path) -> None:
    conversation = [{"role": "user", "content": "Hello?"}]
    sides = {
        name: [*conversation, {"role": "assistant", "content": f"{name} answer"}] for name in ("chosen", "rejected")
    }
    rows = [{"chosen_model": "strong", "unused": 1, **sides}]
    path = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        from datasets import Dataset

        Dataset.from_list(rows).save_to_disk(str(path))
    folders = [RunFolder(tmp_path / name) for name in ("columns", "lines")]
    run(folders[0], configuration(path))
    run(folders[1], configuration(write_lines(tmp_path / "rows.jsonl", rows)))
    (columns, _), (lines, _) = (stored(folder) for folder in folders)
    assert columns == lines
    assert columns[0].reviser_model == "strong"


def test_near_duplicates_of_the_runs_held_out_prompts_are_not_trained_on(tmp_path: Path) -> None:
    asked = "Please tell me in a few words how a bicycle stays upright while it is moving"
    questions = write_lines(tmp_path / "questions.jsonl", [{"prompt": f"{asked}?"}])
    path, folder = (
        write_lines(tmp_path / "pairs.jsonl", [row(1), row(2, prompt=f"{asked}!!")]),
        RunFolder(tmp_path / "r"),
    )
    config = configuration(path, f"prompts.path={questions}", "pairs.filters=[near_duplicate]")
    config.prompts.heldout_share = 0.999
    prompts_stage.run(config, folder, Screen(io.StringIO()))
    config.prompts.heldout_share = 0.0
    figures, _ = run(folder, config)
    assert (figures["pairs"], figures["rejected"]) == (1, {"near_duplicate": 1})


def test_too_many_bad_rows_stop_the_stage_with_the_first_of_them(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [*(row(number) for number in range(8)), "{", "["])
    with pytest.raises(InputError, match=r"2 of 10 rows .*rows\.jsonl:9 not_json .*offpolicy\.max_bad_share is 0\.05"):
        run(RunFolder(tmp_path / "run"), configuration(path))


@pytest.mark.parametrize(
    ("name", "rows", "named"),
    [
        ("rows.jsonl", [], "holds no rows; a row is such as"),
        ("rows.txt", [row(1)], r"suffix '\.txt'.*set offpolicy\.format"),
        ("rows.jsonl", [row(1, chosen="I do not know it.")], r"none of 1 imported rows .*\(identical 1\).*offpolicy"),
    ],
)
def test_a_file_that_gives_nothing_is_one_error(name: str, rows: list[Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=named):
        run(RunFolder(tmp_path / "run"), configuration(write_lines(tmp_path / name, rows)))


def test_missing_columns_are_named_with_those_that_are_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["Why?"], "answer_a": ["A."]}), tmp_path / "rows.parquet")
    with pytest.raises(
        InputError, match=r"'chosen' or 'completions' or 'completion', only prompt, answer_a; .*offpolicy\.chosen_field"
    ):
        run(RunFolder(tmp_path / "run"), configuration(tmp_path / "rows.parquet"))


def test_the_real_pairs_are_accounted_for_to_the_last_row(shared_data: Path, tmp_path: Path) -> None:
    """252 pairs of two real models; 15 have the same words on both sides."""
    folder = RunFolder(tmp_path / "run")
    figures, _ = run(folder, configuration(shared_data / "davinci_pairs.jsonl", "pairs.filters=[empty,identical]"))
    assert (figures["candidates"], figures["pairs"], figures["rejected"]) == (252, 237, {"identical": 15})
    pairs, rejected = stored(folder)
    assert len({one.prompt_id for one in (*pairs, *rejected)}) == 252
    assert {(pair.target_model, pair.reviser_model) for pair in pairs} == {("text-davinci-001", "text-davinci-003")}


def test_the_real_pairs_pass_the_default_filters_too(shared_data: Path, tmp_path: Path) -> None:
    figures, _ = run(RunFolder(tmp_path / "run"), configuration(shared_data / "davinci_pairs.jsonl"))
    assert figures["candidates"] == 252 == figures["pairs"] + sum(figures["rejected"].values())
    assert figures["pairs"] > 150


def single(number: int, label: object, **changes: Any) -> dict[str, Any]:
    return {"prompt": f"Question {number}?", "completion": f"It is {number}.", "label": label, **changes}


def test_single_answers_become_pairs_with_one_side_and_every_row_is_counted(tmp_path: Path) -> None:
    rows = [
        *(single(number, number % 2 == 0) for number in range(40)),
        single(4, True),
        single(4, False),
        single(50, True, completion=" "),
        single(51, "yes"),
        row(60),
    ]
    path, folder = write_lines(tmp_path / "rows.jsonl", rows), RunFolder(tmp_path / "run")
    config = configuration(path, "prompts.heldout_share=0.3")
    figures, said = run(folder, config)
    assert (figures["candidates"], figures["pairs"]) == (45, 42)
    assert figures["rejected"] == {"duplicate": 1, "empty": 1, "no_verdict": 1}
    assert "1 of 45 rows cannot be read" in said
    pairs, rejected = stored(folder)
    assert len({one.id for one in (*pairs, *rejected)}) == 45
    sides = Counter((bool(one.chosen), bool(one.rejected)) for one in pairs)
    assert sides == {(True, False): 20, (False, True): 21, (True, True): 1}
    three = next(one for one in pairs if one.prompt[0]["content"] == "Question 3?")
    assert (three.chosen, three.rejected) == ([], [{"role": "assistant", "content": "It is 3."}])
    assert {one.split for one in pairs if one.prompt_id == three.prompt_id} == {three.split}
    assert {one.split for one in pairs} == {"train", "heldout"}


def test_contrast_is_over_the_pairs_with_both_answers(tmp_path: Path) -> None:
    both = write_lines(tmp_path / "both.jsonl", [row(n) for n in range(4)])
    mixed = write_lines(tmp_path / "mixed.jsonl", [row(n) for n in range(4)] + [single(n, True) for n in range(9)])
    found = [run(RunFolder(tmp_path / path.stem), configuration(path))[0] for path in (both, mixed)]
    assert found[0]["contrast"] == found[1]["contrast"]
    only = write_lines(tmp_path / "only.jsonl", [single(n, True) for n in range(9)])
    figures, _ = run(RunFolder(tmp_path / "only"), configuration(only))
    assert (figures["pairs"], figures["contrast"]["jaccard"]) == (9, {})


def test_single_answers_on_other_prompts_are_left_out_where_asked(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [single(n, True) for n in range(6)])
    own = write_lines(tmp_path / "own.jsonl", [{"prompt": f"Question {n}?"} for n in range(4)])
    folder = RunFolder(tmp_path / "run")
    config = configuration(path, f"prompts.path={own}", "offpolicy.on_prompts_only=true")
    prompts_stage.run(config, folder, Screen(io.StringIO()))
    figures, _ = run(folder, config)
    assert (figures["pairs"], figures["rejected"]) == (4, {"other_prompt": 2})
