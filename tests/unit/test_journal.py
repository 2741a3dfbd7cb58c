"""The journal on a real disk: what it took in it gives back, after crashes, restarts and additions by others."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from raylign.errors import InputError
from raylign.journal import reader, writer
from raylign.journal.files import JournalFiles
from raylign.journal.index import load_index
from raylign.journal.reader import Journal
from raylign.journal.writer import Entry, JournalWriter
from raylign.records import content_id
from raylign.revise.replies import Reply

KEYS = [content_id("request", number) for number in range(400)]


def reply(number: int) -> Reply:
    return Reply(f"Reply {number} – “quoted”\nand a second line", "stop", "", number, 7, f"request-{number}")


def keep(files: JournalFiles, numbers: range, close: bool = True) -> JournalWriter:
    """Write replies with one writer, all at once."""
    one = JournalWriter(files)

    async def add() -> None:
        await asyncio.gather(*(one.add(Entry(KEYS[number], reply(number))) for number in numbers))

    asyncio.run(add())
    if close:
        one.close()
    return one


@pytest.fixture(params=["folder", "file://"])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JournalFiles:
    """A local folder, which takes appends, and the same by URI, where every flush is an object of its own."""
    monkeypatch.setattr(writer, "OBJECT_SECONDS", 0.01)
    monkeypatch.setattr(reader, "_LISTING_SECONDS", 0.0)
    folder = tmp_path / "journal"
    return JournalFiles(str(folder) if request.param == "folder" else f"file://{folder}")


def test_every_reply_is_found_again_as_it_was(files: JournalFiles) -> None:
    keep(files, range(0, 200))
    keep(files, range(200, 300), close=False)
    journal = Journal(files)
    assert journal.replies(KEYS[:300]) == [reply(number) for number in range(300)]
    assert journal.replies(KEYS[300:]) == [None] * 100
    assert Journal(files).replies(KEYS[:300]) == [reply(number) for number in range(300)], "also by the index files"


def test_replies_kept_outside_of_an_event_loop_are_found_and_known_without_being_read(files: JournalFiles) -> None:
    one = JournalWriter(files)
    one.add_all([Entry(KEYS[number], reply(number)) for number in range(20)])
    one.add_all([])
    assert Journal(files).replies(KEYS[:20]) == [reply(number) for number in range(20)]
    assert Journal(files).contains(KEYS[18:22]) == [True, True, False, False]


def test_a_line_written_before_batches_were_known_is_a_reply_at_the_full_price(files: JournalFiles) -> None:
    line = f'{{"key":"{KEYS[0]}","at":1.0,"text":"Since.","finish_reason":"stop","refusal":"","prompt_tokens":3,'
    files.write("old-0.jsonl", f'{line}"reply_tokens":2,"request_id":"r"}}\n'.encode())
    assert Journal(files).replies(KEYS[:1]) == [Reply("Since.", "stop", "", 3, 2, "r", price_share=1.0)]


def test_what_others_add_later_is_seen_after_a_refresh(files: JournalFiles) -> None:
    keep(files, range(0, 10))
    journal = Journal(files)
    keep(files, range(10, 20), close=False)
    assert journal.replies(KEYS[10:20]) == [None] * 10
    journal.refresh()
    keep(files, range(20, 30))
    journal.refresh()
    assert journal.replies(KEYS[:30]) == [reply(number) for number in range(30)]


def test_a_reply_is_on_disk_when_its_row_moves_on(files: JournalFiles) -> None:
    """A writer that was never closed, as one that was killed: everything acknowledged is there."""
    keep(files, range(0, 50), close=False)
    assert Journal(files).replies(KEYS[:50]) == [reply(number) for number in range(50)]


def test_a_line_cut_short_is_passed_over_and_the_rest_is_kept(tmp_path: Path) -> None:
    files = JournalFiles(str(tmp_path))
    keep(files, range(0, 3), close=False)
    segment = next(tmp_path.glob("*.jsonl"))
    whole = segment.read_bytes()
    for length in range(len(whole) - 90, len(whole)):
        for index in tmp_path.glob("*.idx"):
            index.unlink()
        segment.write_bytes(whole[:length])
        assert Journal(files).replies(KEYS[:3]) == [reply(0), reply(1), None]


def test_a_line_damaged_behind_its_key_is_no_reply(tmp_path: Path) -> None:
    files = JournalFiles(str(tmp_path))
    keep(files, range(2), close=False)
    segment = next(tmp_path.glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes().replace(b'"finish_reason"', b"\x00" * 15, 1))
    assert Journal(files).replies(KEYS[:3]) == [None, reply(1), None]


def test_an_index_that_does_not_fit_its_segment_is_not_believed(tmp_path: Path) -> None:
    files = JournalFiles(str(tmp_path))
    keep(files, range(0, 3))
    segment = next(tmp_path.glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes().split(b"\n", 1)[0] + b"\n")
    assert Journal(files).replies(KEYS[:2]) == [reply(0), None]


def test_segments_are_closed_when_they_are_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 2000)
    files = JournalFiles(str(tmp_path))
    one = JournalWriter(files)

    async def add_one_by_one() -> None:
        for number in range(100):
            await one.add(Entry(KEYS[number], reply(number)))

    asyncio.run(add_one_by_one())
    assert len(list(tmp_path.glob("*.jsonl"))) >= 5
    assert load_index(files).find(KEYS[:100]).min() >= 0
    assert Journal(files).replies(KEYS[:100]) == [reply(number) for number in range(100)]


def test_many_later_replies_move_into_arrays_and_stay_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_TAIL", 30)
    files = JournalFiles(str(tmp_path))
    journal = Journal(files)
    for start in range(0, 200, 20):
        keep(files, range(start, start + 20))
        journal.refresh()
    assert len(journal.tail) <= 30
    assert journal.replies(KEYS[:200]) == [reply(number) for number in range(200)]


def test_replies_that_wait_together_share_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes: list[int] = []
    monkeypatch.setattr(writer.os, "fsync", flushes.append)
    keep(JournalFiles(str(tmp_path)), range(0, 200), close=False)
    assert 1 <= len(flushes) <= 5


def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    script = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[2])
from test_journal import KEYS, reply
from raylign.journal.files import JournalFiles
from raylign.journal.writer import Entry, JournalWriter
async def main():
    writer = JournalWriter(JournalFiles(sys.argv[1]))
    for number in range(400):
        await writer.add(Entry(KEYS[number], reply(number)))
        print(number, flush=True)
        if number == 57:
            os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    folder = str(Path(__file__).parent)
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path), folder], capture_output=True, text=True)
    assert ended.returncode == -9, ended.stderr
    assert ended.stdout.split()[-1] == "57"
    assert Journal(JournalFiles(str(tmp_path))).replies(KEYS[:58]) == [reply(number) for number in range(58)]


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for location in (str(tmp_path / "file" / "journal"), "nosuch://bucket/x"):
        with pytest.raises(InputError, match=r"revise\.journal"):
            JournalFiles(location)
