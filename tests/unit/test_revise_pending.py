"""Which drafts are sent to the reviser, in windows of bounded size."""

from dataclasses import replace
from pathlib import Path

from records import make_draft

from raylign.ids import IdSet
from raylign.parts import PartWriter
from raylign.records import Draft, content_id
from raylign.revise.pending import count_revisable, pending, revised_ids

GOOD = make_draft()


def folder_of(path: Path, drafts: list[Draft], rows_per_part: int = 10) -> Path:
    with PartWriter(path, Draft, rows_per_part) as writer:
        for draft in drafts:
            writer.add([draft])
    return path


def test_only_good_drafts_without_a_revision_wait(tmp_path: Path) -> None:
    good = [replace(GOOD, id=content_id(number)) for number in range(25)]
    bad = [replace(GOOD, id=content_id("f"), status="engine_error"), replace(GOOD, id=content_id("e"), answer=" \n\t")]
    folder = folder_of(tmp_path, [*bad, *good])
    assert count_revisable(folder) == 25
    done = IdSet([[draft.id for draft in good[:7]]])
    rows = [row for table in pending(folder, done) for row in table.to_pylist()]
    assert [Draft(**row) for row in rows] == good[7:]


def test_windows_are_no_larger_than_a_part_more_than_asked(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [replace(GOOD, id=content_id(number)) for number in range(100)])
    sizes = [len(table) for table in pending(folder, IdSet(), window=25)]
    assert sum(sizes) == 100
    assert max(sizes) <= 35


def test_nothing_waits_where_nothing_was_drafted(tmp_path: Path) -> None:
    assert list(pending(tmp_path, revised_ids(tmp_path))) == []
