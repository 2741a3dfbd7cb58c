"""The prompts stage: acts on the run folder, writing the prompts that were read and the rows that were not."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.parts import PartWriter, part_paths
from raylign.prompts.bad_rows import BadRow
from raylign.prompts.prompt_set import PromptSet, read_prompts
from raylign.records import Prompt
from raylign.run_folder import RunFolder
from raylign.screen import Screen

BAD_ROWS_FILE = "bad_rows.jsonl"


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Read the prompts into `prompts/part-*.parquet` (records.Prompt) and list bad rows in `prompts/bad_rows.jsonl`.

    Returns:
        The figures: prompts, train, heldout, duplicates, bad (count by reason), rows (all that were read) and
        over_limit (good rows beyond `prompts.limit`); rows = prompts + duplicates + over_limit + all bad.

    Raises:
        InputError: the file is missing, unreadable, empty, has no usable prompt, or too many bad rows.
    """
    found = read_prompts(config.prompts)
    target = folder.stage("prompts")
    for stale in [*part_paths(target), target / BAD_ROWS_FILE]:  # left by an attempt that did not finish
        stale.unlink(missing_ok=True)
    with PartWriter(target, Prompt) as writer:
        writer.add(found.prompts)
    if found.bad:
        listing = target / BAD_ROWS_FILE
        _write_bad_rows(listing, found.bad)
        screen.say(f"prompts    {len(found.bad)} of {found.rows} rows left out, first {found.bad[0]}; all in {listing}")
    return _figures(found)


def _write_bad_rows(path: Path, rows: list[BadRow]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def _figures(found: PromptSet) -> dict[str, Any]:
    heldout = sum(prompt.split == "heldout" for prompt in found.prompts)
    return {
        "prompts": len(found.prompts),
        "train": len(found.prompts) - heldout,
        "heldout": heldout,
        "duplicates": found.duplicates,
        "bad": found.bad_reasons(),
        "rows": found.rows,
        "over_limit": found.over_limit,
    }
