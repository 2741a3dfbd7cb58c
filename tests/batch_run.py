"""What the tests of batch mode share: a small run, its reviser, and what its journal holds in the end."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from provider import Provider
from records import make_draft, user

from raylign.config import ReviseConfig
from raylign.journal.files import JournalFiles
from raylign.journal.reader import Journal
from raylign.parts import PartWriter, read_records
from raylign.records import Draft, content_id
from raylign.revise.batch import fill_journal
from raylign.revise.batch_plan import BatchRequest, batch_request
from raylign.revise.pending import pending, revised_ids
from raylign.revise.replies import Reply
from raylign.revise.secret import Secret
from raylign.revise.templates import load_template, request_key
from raylign.revise.work import Revising

KEY = "sk-batch-51aa0c"
PRICES = {"usd_per_million_prompt_tokens": 1e6, "usd_per_million_reply_tokens": 1e6}
"""A dollar a token."""


def draft(number: int, question: str = "") -> Draft:
    return make_draft(
        id=content_id("draft", number),
        prompt_id=f"p{number}",
        messages=user(question or f"Question {number:02}?"),
        answer="A long answer.",
    )


def make_run(folder: Path, drafts: list[Draft]) -> Path:
    (folder / "revisions").mkdir(parents=True)
    with PartWriter(folder / "drafts", Draft) as writer:
        writer.add(drafts)
    return folder


def revise(provider: Provider, **changes: Any) -> ReviseConfig:
    settings = {"batch_requests": 2, "batch_poll_seconds": 0.01, "api_key_env": "THE_KEY", **changes}
    return ReviseConfig(base_url=provider.url, model="editor", **settings)


def fill(
    config: ReviseConfig,
    run: Path,
    say: Callable[[str], None] = lambda words: None,
    calls_usd: float = 0.0,
    sleep: Callable[[float], None] = lambda seconds: None,
) -> None:
    """Batch mode on the run's drafts."""
    rows = run / "revisions"

    def windows() -> Iterator[pa.Table]:
        return pending(run / "drafts", revised_ids(rows))

    journal = JournalFiles(str(run / "journal"))
    fill_journal(config, Revising(config), windows, rows, journal, Secret(KEY), calls_usd, say, sleep)


def replies(config: ReviseConfig, run: Path) -> dict[str, Reply]:
    """What the journal holds, by question."""
    template = load_template(config)
    drafts = read_records(run / "drafts", Draft)
    keys = [request_key(config, template.messages(draft.messages, draft.answer)) for draft in drafts]
    found = Journal(JournalFiles(str(run / "journal"))).replies(keys)
    kept = zip(drafts, found, strict=True)
    return {draft.messages[0]["content"]: reply for draft, reply in kept if reply is not None}


def in_short(messages: list[dict[str, str]]) -> str:
    """A reply that tells which question it answers."""
    found = re.search(r"Question \d\d\?", messages[-1]["content"])
    return f"In short, {found[0] if found else 'nothing'}"


def request_of(asked: Draft, config: ReviseConfig) -> BatchRequest:
    """The request for one draft."""
    template = load_template(config)
    return batch_request(template.messages(asked.messages, asked.answer), config, template.response_format)


def is_about(provider: Provider, *numbers: int) -> bool:
    return any(f"Question {number:02}?" in provider.last for number in numbers)
