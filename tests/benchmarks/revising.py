"""What the benchmarks of revising share: drafts, and the real pool on them against a provider."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from records import make_draft, user

from raylign.config import ReviseConfig
from raylign.journal.files import JournalFiles
from raylign.journal.index import load_index
from raylign.records import Draft, content_id, to_table
from raylign.revise.actors import Reach, in_blocks, rows_per_block, run_pool
from raylign.revise.limiter import Limits
from raylign.revise.limiter_actor import start_limiter
from raylign.revise.secret import Secret
from raylign.revise.work import Revising

_ANSWER = "An answer of some forty words, so that a request has the size of a real one. " * 3


def draft(number: int) -> Draft:
    """A draft like no other."""
    return make_draft(
        id=content_id("draft", number),
        prompt_id=content_id("prompt", number),
        messages=user(f"Question {number}: what is there to say about number {number}?"),
        answer=f"{_ANSWER} Number {number}.",
    )


@contextmanager
def revising(url: str, revise: ReviseConfig, drafts: int) -> Iterator[Any]:
    """The pool at work on so many drafts in the background; yields the limiter. It is stopped at the end."""
    import ray

    with tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as folder:
        journal = JournalFiles(folder)
        limits = Limits(revise.requests_per_minute, revise.tokens_per_minute)
        limiter = start_limiter(limits)
        reach = Reach(url, {}, Secret(""), limiter, journal.location, ray.put(load_index(journal)))
        table = to_table(Draft, [draft(number) for number in range(drafts)])
        thread = threading.Thread(target=_drain, args=(table, revise, reach), daemon=True)
        thread.start()
        try:
            yield limiter
        finally:
            ray.get(limiter.stop.remote("the benchmark is over"))
            thread.join()
            ray.kill(limiter)


def _drain(table: pa.Table, revise: ReviseConfig, reach: Reach) -> None:
    rows = rows_per_block(revise.requests_in_flight)
    for _ in run_pool(in_blocks(table, rows), rows, Revising(revise), revise, reach):
        pass
