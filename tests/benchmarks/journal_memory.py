"""Memory and time of a restart whose journal holds 10⁵, 10⁶ and 10⁷ replies; no engine and no network.

A run folder is written as the stages write it: N drafts, the replies to all but the last in the journal, and their
rows in the revisions' parts. A fresh process then does what a restarted driver and its first reviser actor do, up to
the moment the first missing request would be sent: import, open the journal, find the draft that waits, miss it in
the journal. Its peak of resident memory is the driver's.

    python tests/benchmarks/journal_memory.py [--quick] [--out FILE.json]
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import ROOT, at_most, finish, options

PART = 5000
_BATCH = 1000


def build(folder: Path, count: int) -> None:
    """Write the run folder."""
    from dataclasses import replace

    from records import make_draft

    from raylign.config import ReviseConfig
    from raylign.journal.files import JournalFiles
    from raylign.journal.writer import Entry, JournalWriter
    from raylign.parts import PartWriter
    from raylign.records import Draft, Revision, content_id
    from raylign.revise.replies import Reply
    from raylign.revise.rows import Call, to_revision
    from raylign.revise.templates import load_template

    revise, template = ReviseConfig(), load_template(ReviseConfig())
    draft = make_draft()
    reply = Reply("Because.", "stop", "", 3, 3, "r")
    row = to_revision(draft, Call(reply, 1, 0.1), revise, template)
    segments = JournalWriter(JournalFiles(str(folder / "journal"))).segments
    drafts, revisions = PartWriter(folder / "drafts", Draft, PART), PartWriter(folder / "revisions", Revision, PART)
    with drafts, revisions:
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            ids = [content_id("draft", number) for number in numbers]
            drafts.add([replace(draft, id=id_) for id_ in ids])
            done = [id_ for id_, number in zip(ids, numbers, strict=True) if number < count - 1]
            revisions.add([replace(row, id=id_, draft_id=id_) for id_ in done])
            segments.add([Entry(content_id("request", id_), reply) for id_ in done])
    segments.close()


def restart(folder: Path) -> dict[str, float]:
    """What a restarted driver and its first actor do; seconds are those of this process."""
    began = time.monotonic()
    from raylign.config import ReviseConfig
    from raylign.journal.files import JournalFiles
    from raylign.journal.index import load_index
    from raylign.journal.reader import Journal
    from raylign.revise.pending import count_revisable, pending, revised_ids
    from raylign.revise.templates import load_template, request_key

    files = JournalFiles(str(folder / "journal"))
    total = count_revisable(folder / "drafts")
    index = load_index(files)
    waiting = next(pending(folder / "drafts", revised_ids(folder / "revisions"))).to_pylist()
    assert len(waiting) == 1, len(waiting)
    messages = load_template(ReviseConfig()).messages(waiting[0]["messages"], waiting[0]["answer"])
    assert Journal(files, index).replies([request_key(ReviseConfig(), messages)]) == [None]
    return {
        "replies": len(index.high),
        "drafts": total,
        "seconds": time.monotonic() - began,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(count: int) -> dict[str, Any]:
    """Build in one process, restart in another."""
    with tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as name:
        script = str(Path(__file__).resolve())
        environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
        subprocess.run([sys.executable, script, "build", name, str(count)], check=True, env=environment)
        done = subprocess.run(
            [sys.executable, script, "restart", name], check=True, env=environment, capture_output=True, text=True
        )
        megabytes = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file()) / 2**20
    result: dict[str, Any] = json.loads(done.stdout)
    return {**result, "megabytes_on_disk": round(megabytes)}


def main() -> None:
    """The curve."""
    arguments = options(__doc__)
    curve = []
    for count in (10**4, 10**5) if arguments.quick else (10**5, 10**6, 10**7):
        curve.append(measure(count))
        print("  ".join(f"{name} {value:,.1f}" for name, value in curve[-1].items()), flush=True)
    last = curve[-1]
    figures = [
        at_most(f"peak memory with {last['replies'] + 1:.0e} ids, MB", last["peak_megabytes"], 1000),
        at_most("restart to first call, s", last["seconds"], 60),
    ]
    finish(arguments, figures, {"curve": curve})


if __name__ == "__main__":
    if sys.argv[1:2] == ["build"]:
        build(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["restart"]:
        print(json.dumps(restart(Path(sys.argv[2]))))
    else:
        main()
