"""Reads a run folder into the record that the page shows; what is missing or half-written is left out. This acts."""

import json
import math
from pathlib import Path
from typing import Any

import yaml

from raylign.evaluate.rows import Answer, latest
from raylign.loop import LOOP
from raylign.parts import part_paths, read_parts, read_records
from raylign.records import Pair, Prompt
from raylign.report.record import AnswerPair, ExamplePair, RunRecord, ShownAnswer
from raylign.run_folder import RunFolder

ANSWERS_SHOWN = 5
PAIRS_SHOWN = 3


def collect(folder: RunFolder) -> RunRecord:
    """The folder's record; examples are the first by id, which is a hash, so nobody picked them."""
    config_path = folder.path / "config.yaml"
    pairs = [path for split in ("train", "heldout") for path in [folder.path / "pairs" / split] if part_paths(path)]
    columns = ["levenshtein", "length_ratio", "shared_prefix"]
    rows = [row for path in pairs for row in read_parts(path, Pair, columns).to_pylist()]
    contrast = [row for row in rows if not math.isnan(row["levenshtein"])]  # a single answer has none
    return RunRecord(
        name=folder.path.resolve().name,
        config=yaml.safe_load(config_path.read_text(encoding="utf-8")) if config_path.exists() else {},
        starts=(folder.read_json("run.json") or {}).get("starts", []),
        done={stage.name: done for stage in LOOP if (done := folder.finished(stage.folder))},
        metrics=_training_lines(folder.path / "metrics.jsonl"),
        edit_distances=[row["levenshtein"] for row in contrast],
        length_ratios=[row["length_ratio"] for row in contrast],
        shared_prefixes=[row["shared_prefix"] for row in contrast],
        pairs=_example_pairs(pairs),
        answers=_answer_pairs(folder.path),
        suites=folder.read_json("evaluate/suites.json") or {},
    )


def _training_lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:  # the line a killed process was writing
            continue
        if isinstance(line, dict) and line.get("stage") == "train":
            lines.append(line)
    return lines


def _example_pairs(folders: list[Path]) -> list[ExamplePair]:
    stored: list[Pair] = read_records(folders[0], Pair) if folders else []
    rows = [row for row in stored if row.chosen and row.rejected]
    return [
        ExamplePair(row.prompt, row.chosen[-1]["content"], row.rejected[-1]["content"], row.rationale)
        for row in sorted(rows, key=lambda row: row.id)[:PAIRS_SHOWN]
    ]


def _answer_pairs(run: Path) -> list[AnswerPair]:
    prompts = {prompt.id: prompt.messages for prompt in read_records(run / "prompts", Prompt)}
    sides: dict[str, dict[str, Answer]] = {"base": {}, "aligned": {}}
    for answer in latest(read_records(run / "evaluate" / "answers", Answer)).values():
        if answer.status == "ok":
            sides[answer.model][answer.prompt_id] = answer
    base, aligned = sides["base"], sides["aligned"]
    return [
        AnswerPair(prompts[key], (_shown(base[key]), _shown(aligned[key])))
        for key in sorted(set(base) & set(aligned) & set(prompts))[:ANSWERS_SHOWN]
    ]


def _shown(answer: Answer) -> ShownAnswer:
    return ShownAnswer(answer.model, answer.answer, answer.answer_tokens, answer.finish_reason == "length")
