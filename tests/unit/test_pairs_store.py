"""The pairs stage over a run folder: sums match, outsiders can read the store, and it can be made again."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from records import make_draft, user

from raylign.config import LoopConfig
from raylign.errors import InputError
from raylign.pairs import stage
from raylign.pairs.store import summarise
from raylign.parts import PartWriter, read_records
from raylign.records import Draft, Pair, Rejected, Revision
from raylign.run_folder import RunFolder
from raylign.screen import Screen

SCREEN = Screen(io.StringIO())


def draft(number: int) -> Draft:
    return make_draft(
        id=f"d{number}",
        prompt_id=f"p{number}",
        messages=user(f"Question {number}?"),
        split="heldout" if number % 5 == 0 else "train",
        answer=f"A long-winded answer number {number}.",
    )


def revision(draft: Draft, **changes: str) -> Revision:
    row = Revision(
        f"r{draft.id}", draft.id, draft.prompt_id, draft.messages, draft.split, draft.source, draft.answer, False,
        draft.model, "editor", "guideline@abc", "reply", f"Answer {draft.id} in short.", "", "stop", "ok", "", 1, 0.1,
        9, 4, "",
    )  # fmt: skip
    return replace(row, **changes)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Twenty drafts: 0 failed, 1 empty, 2 unparsed, 3 refused by a filter, 4 not revised, 15 good."""
    drafts = [draft(number) for number in range(20)]
    drafts[0] = replace(drafts[0], status="engine_error", answer="", detail="engine died")
    drafts[1] = replace(drafts[1], answer="")
    revisions = [revision(draft) for draft in drafts[5:]]
    revisions += [revision(drafts[2], status="unparsed", revision=""), revision(drafts[3], revision="No.")]
    for name, record, rows in (("drafts", Draft, drafts), ("revisions", Revision, revisions)):
        with PartWriter(tmp_path / name, record, rows_per_part=7) as writer:
            writer.add(rows[:7])
            writer.add(rows[7:])
    return RunFolder(tmp_path)


def test_every_draft_is_a_pair_or_a_counted_rejection(folder: RunFolder) -> None:
    figures = stage.run(LoopConfig(), folder, SCREEN)
    assert (figures["candidates"], figures["pairs"], figures["train"], figures["heldout"]) == (20, 15, 12, 3)
    assert figures["rejected"] == {
        "engine_error": 1, "empty_draft": 1, "unparsed": 1, "too_short": 1, "not_revised": 1,
    }  # fmt: skip
    train, heldout = (read_records(folder.path / "pairs" / name, Pair) for name in ("train", "heldout"))
    rejected = read_records(folder.path / "pairs" / "rejected", Rejected)
    assert {row.draft_id for row in (*train, *heldout, *rejected)} == {f"d{number}" for number in range(20)}
    assert {row.split for row in train} == {"train"}
    assert 0 < figures["contrast"]["jaccard"]["mean"] < 1


def test_contrast_is_summed_up_by_mean_median_and_the_tails(folder: RunFolder) -> None:
    stage.run(LoopConfig(), folder, SCREEN)
    contrast = json.loads((folder.path / "pairs" / "manifest.json").read_text())["contrast"]
    assert set(contrast) == {"jaccard", "levenshtein", "length_ratio", "shared_prefix"}
    for values in contrast.values():
        assert values["percentile_5"] <= values["median"] <= values["percentile_95"]
    # 1 to 21 by ones: rank 1 + 0.05 × 20 is 2, and as far from the other end
    assert summarise([float(value) for value in range(21, 0, -1)]) == {
        "mean": 11.0, "median": 11.0, "percentile_5": 2.0, "percentile_95": 20.0,
    }  # fmt: skip
    assert summarise([0.25]) == dict.fromkeys(("mean", "median", "percentile_5", "percentile_95"), 0.25)
    assert summarise([]) == {}


def test_near_duplicate_prompts_become_counted_rejections(folder: RunFolder) -> None:
    """The twenty prompts differ in their number alone, so all are alike; a held-out one stays, of the smallest id."""
    config = LoopConfig()
    config.pairs.filters.append("near_duplicate")
    config.pairs.near_duplicate_threshold = 0.4
    figures = stage.run(config, folder, SCREEN)
    assert (figures["candidates"], figures["pairs"], figures["heldout"]) == (20, 1, 1)
    assert figures["rejected"]["near_duplicate"] == 14
    assert sum(figures["rejected"].values()) == 19
    rejected = read_records(folder.path / "pairs" / "rejected", Rejected)
    details = {row.detail for row in rejected if row.reason == "near_duplicate" and row.split == "heldout"}
    assert details == {"the prompt is much like heldout prompt p10: 'Question 10?'"}


def test_manifest_describes_every_file(folder: RunFolder) -> None:
    stage.run(LoopConfig(), folder, SCREEN)
    root = folder.path / "pairs"
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["templates"] == ["guideline@abc"]
    assert manifest["reviser_models"] == ["editor"]
    assert sorted(manifest["files"]) == sorted(str(path.relative_to(root)) for path in root.glob("*/*.parquet"))
    assert sum(file["rows"] for file in manifest["files"].values()) == 20
    for name, file in manifest["files"].items():
        assert hashlib.sha256((root / name).read_bytes()).hexdigest() == file["sha256"]


def test_datasets_reads_the_store_in_the_conversational_preference_format(folder: RunFolder, tmp_path: Path) -> None:
    import datasets

    stage.run(LoopConfig(), folder, SCREEN)
    files = {name: str(folder.path / "pairs" / name / "*.parquet") for name in ("train", "heldout")}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    row = loaded["train"][0]
    assert [message["role"] for message in row["prompt"]] == ["user"]
    for side in ("chosen", "rejected"):
        assert [set(message) for message in row[side]] == [{"role", "content"}]
        assert row[side][0]["role"] == "assistant"
        assert row[side][0]["content"]
    assert (len(loaded["train"]), len(loaded["heldout"])) == (12, 3)


def test_running_again_replaces_the_store(folder: RunFolder) -> None:
    stage.run(LoopConfig(), folder, SCREEN)
    store = folder.path / "pairs"
    (store / "train" / "part-00009.parquet").write_bytes((store / "train" / "part-00000.parquet").read_bytes())
    before = (store / "train" / "part-00000.parquet").read_bytes()
    assert stage.run(LoopConfig(), folder, SCREEN)["pairs"] == 15
    assert not (store / "train" / "part-00009.parquet").exists()
    assert (store / "train" / "part-00000.parquet").read_bytes() == before


def test_no_pair_at_all_is_an_error_that_names_the_top_reasons(folder: RunFolder) -> None:
    config = LoopConfig()
    config.pairs.min_chosen_characters = 10_000
    with pytest.raises(InputError, match=r"none of 20 drafts became a pair \(too_short 16, ") as caught:
        stage.run(config, folder, SCREEN)
    assert "pairs/rejected" in caught.value.cure
    assert len(read_records(folder.path / "pairs" / "rejected", Rejected)) == 20


def test_no_drafts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no drafts"):
        stage.run(LoopConfig(), RunFolder(tmp_path), SCREEN)
