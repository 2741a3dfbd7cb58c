"""Batch mode through the whole stage on a real local Ray: the rows of calls, without the calls."""

import io
import re
import time
from pathlib import Path

import pytest
from provider import Provider
from provider_batches import Batches, Fate
from records import make_draft, user

from raylign.config import LoopConfig
from raylign.errors import ConfigError, EndpointError
from raylign.parts import PartWriter, read_records
from raylign.records import Draft, Revision, content_id
from raylign.revise import stage
from raylign.run_folder import RunFolder
from raylign.screen import Screen

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]
DRAFTS = 30


def run_folder(path: Path) -> RunFolder:
    drafts = [
        make_draft(
            id=content_id("draft", number),
            prompt_id=f"p{number:04}",
            messages=user(f"Question {number:04}?"),
            answer=f"A rather long answer to question {number:04}.",
        )
        for number in range(DRAFTS)
    ]
    with PartWriter(path / "drafts", Draft) as writer:
        writer.add(drafts)
    return RunFolder(path)


def in_short(messages: list[dict[str, str]]) -> str:
    found = re.search(r"Question \d{4}\?", messages[-1]["content"])
    return f"In short, {found[0] if found else 'nothing'}"


def configuration(provider: Provider, mode: str) -> LoopConfig:
    config = LoopConfig()
    config.revise.base_url, config.revise.model = provider.url, "editor"
    config.revise.usd_per_million_prompt_tokens = config.revise.usd_per_million_reply_tokens = 10.0
    config.revise.max_usd = 1.0
    config.revise.actors_max = 1
    config.revise.mode, config.revise.batch_requests, config.revise.batch_poll_seconds = mode, 12, 0.05
    return config


def revise(provider: Provider, folder: RunFolder, mode: str) -> tuple[dict[str, float], dict[str, Revision]]:
    """The stage's figures, and its rows by draft."""
    figures = stage.run(configuration(provider, mode), folder, Screen(io.StringIO()))
    return figures, {row.draft_id: row for row in read_records(folder.path / "revisions", Revision)}


def test_a_batch_makes_the_rows_of_calls_at_half_the_price_without_any_call(tmp_path: Path) -> None:
    with Provider(reply=in_short) as provider:
        called, rows_called = revise(provider, run_folder(tmp_path / "online"), "online")
        assert provider.served["ok"] == DRAFTS
    with Provider(reply=in_short, batches=Batches(seconds=0.3)) as provider:
        folder = run_folder(tmp_path / "batch")
        batched, rows = revise(provider, folder, "batch")
        assert provider.arrivals == []
        assert provider.batches is not None
        assert len(provider.batches.made) == 3
    same = ("id", "prompt_id", "status", "reply", "revision", "prompt_tokens", "reply_tokens", "template")
    assert rows.keys() == rows_called.keys()
    for draft_id, row in rows.items():
        assert [getattr(row, name) for name in same] == [getattr(rows_called[draft_id], name) for name in same]
    assert batched["status"] == called["status"] == {"ok": DRAFTS}
    assert batched["usd"] == pytest.approx(called["usd"] / 2)
    assert batched["attempts"] == 0
    assert {row.request_id for row in rows.values()} == {f"req_{number}" for number in range(1, DRAFTS + 1)}


def test_nothing_in_the_cluster_is_held_while_batches_are_waited_for(tmp_path: Path) -> None:
    """Looked at when the provider is asked how a batch stands; what an earlier test held may take a moment to go."""
    import ray

    seen: list[bool] = []

    def idle() -> bool:
        limiters = [name for name in ray.util.list_named_actors() if name.startswith("raylign-limiter-")]
        return not limiters and ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]

    def look(number: int) -> Fate:
        deadline = time.monotonic() + 5.0
        while not idle() and time.monotonic() < deadline:
            time.sleep(0.05)
        seen.append(idle())
        return Fate()

    with Provider(reply=in_short, batches=Batches(fate=look)) as provider:
        figures, _ = revise(provider, run_folder(tmp_path), "batch")
    assert figures["status"] == {"ok": DRAFTS}
    assert seen == [True, True, True]


def test_what_batches_leave_is_called_and_the_spending_of_both_is_one(tmp_path: Path) -> None:
    """One request of the first batch fails; calls then bring it, and the next start knows what both ways cost."""
    with Provider(reply=in_short, batches=Batches(fate=lambda number: Fate())) as provider:
        provider.fault = lambda number, asked_before: (
            "error_500" if "Question 0007?" in provider.last and not asked_before else ""
        )
        folder = run_folder(tmp_path)
        figures, _ = revise(provider, folder, "batch")
        assert figures["status"] == {"ok": DRAFTS}
        assert figures["attempts"] == len(provider.arrivals) == 1
        batches = sum(part["usd"] for part in folder.read_json("revisions/batches.json")["parts"])
        calls = folder.read_json("revisions/spend.json")["committed_usd"]
        assert 0.0 < calls < batches
        assert batches + calls == pytest.approx(figures["usd"], abs=1e-6)


def test_calls_do_not_pay_again_for_what_open_batches_are_to_answer(tmp_path: Path) -> None:
    """The key is revoked while three batches are open."""
    batches = Batches()
    with Provider(reply=in_short, batches=batches) as provider:

        def revoke(number: int) -> Fate:
            provider.key = "sk-another"
            return Fate()

        batches.fate = revoke
        folder = run_folder(tmp_path)
        with pytest.raises(EndpointError, match="refuses the key"):
            revise(provider, folder, "batch")
        provider.key, batches.fate = "", lambda number: Fate()
        with pytest.raises(ConfigError, match=r"30 requests .*batch_0, batch_1, batch_2"):
            revise(provider, folder, "online")
        figures, _ = revise(provider, folder, "batch")
        assert figures["status"] == {"ok": DRAFTS}
        assert provider.arrivals == []
