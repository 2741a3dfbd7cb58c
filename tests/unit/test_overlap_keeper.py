"""A draft is on disk before anything is asked about it, and the one on disk is the one that is asked about."""

from pathlib import Path

from raylign.overlap.keeper import DraftKeeper
from raylign.parts import part_paths, read_records
from raylign.records import Draft, content_id
from raylign.sample.drafts import Batch


def draft(number: int, answer: str = "An answer.", status: str = "ok") -> Draft:
    return Draft(
        content_id("draft", number), f"p{number}", [{"role": "user", "content": "Why?"}], "train", "set", answer, "m",
        "{}", 0, 5, 3, False, status, "",
    )  # fmt: skip


def batch(*drafts: Draft) -> Batch:
    return Batch(list(drafts), longest_seconds=2.0)


def on_disk(folder: Path) -> dict[str, str]:
    drafts: list[Draft] = read_records(folder, Draft)
    assert len({each.id for each in drafts}) == len(drafts), "none twice"
    return {each.id: each.answer for each in drafts}


def test_what_is_handed_on_is_on_disk_and_can_be_revised(tmp_path: Path) -> None:
    keeper = DraftKeeper(tmp_path, started=0.0, clock=lambda: 10.0)
    asked = keeper.keep(batch(draft(0), draft(1, answer=" "), draft(2, answer="", status="engine_error")))
    assert asked["id"].to_pylist() == [draft(0).id]
    assert len(on_disk(tmp_path)) == 3
    kept = keeper.report()
    assert (kept.drafts, kept.unasked) == (3, 2)
    assert kept.speed["start_seconds"] == 8.0


def test_a_block_that_is_made_again_is_asked_about_as_it_was_first(tmp_path: Path) -> None:
    """A node was lost: Ray has the engines draft again, and at a temperature above zero they say something else."""
    DraftKeeper(tmp_path, started=0.0).keep(batch(draft(0, "first"), draft(1, "first")))
    keeper = DraftKeeper(tmp_path, started=0.0)  # started again itself
    for _ in range(2):
        asked = keeper.keep(batch(draft(0, "second"), draft(1, "second"), draft(2, "first")))
        assert set(asked["answer"].to_pylist()) == {"first"}
        assert len(asked) == 3
    assert set(on_disk(tmp_path).values()) == {"first"}


def test_after_closing_drafts_are_kept_and_not_handed_on(tmp_path: Path) -> None:
    keeper = DraftKeeper(tmp_path, started=0.0)
    keeper.keep(batch(draft(0), draft(1)))
    assert keeper.close() == 2
    assert len(keeper.keep(batch(draft(2)))) == 0
    assert keeper.close() == 2
    assert len(on_disk(tmp_path)) == 3


def test_files_stay_few_and_each_call_is_durable(tmp_path: Path) -> None:
    keeper = DraftKeeper(tmp_path, started=0.0)
    for start in range(0, 1200, 100):
        keeper.keep(batch(*(draft(number) for number in range(start, start + 100))))
        assert len(on_disk(tmp_path)) == start + 100
    assert len(part_paths(tmp_path)) == 3
