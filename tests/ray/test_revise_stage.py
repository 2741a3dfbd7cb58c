"""The revise stage on a real local Ray against a real HTTP provider that limits, fails, and counts."""

import io
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from provider import Provider
from records import make_draft, user

from raylign.config import LoopConfig
from raylign.errors import EndpointError
from raylign.pairs import stage as pairs_stage
from raylign.parts import PartWriter, part_paths, read_records
from raylign.records import Draft, Revision, content_id
from raylign.revise import stage
from raylign.revise.ledger import Ledger
from raylign.revise.limiter import UNANSWERED_IN_A_ROW, Ask, Limits
from raylign.revise.limiter_actor import start_limiter
from raylign.run_folder import RunFolder
from raylign.screen import Screen

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]
KEY = "sk-stage-93ab7f20"
SCREEN = Screen(io.StringIO())


def draft(number: int) -> Draft:
    return make_draft(
        id=content_id("draft", number),
        prompt_id=f"p{number:04}",
        messages=user(f"Question {number:04}?"),
        split="heldout" if number % 4 == 3 else "train",
        answer=f"A rather long answer to question {number:04}.",
    )


def run_folder(path: Path, count: int) -> RunFolder:
    """A run folder with drafts; the first failed, the second is empty, the third asks with 400 kB of text."""
    drafts = [draft(number) for number in range(count)]
    drafts[0] = replace(drafts[0], status="engine_error", answer="", detail="engine died")
    drafts[1] = replace(drafts[1], answer=" ")
    drafts[2] = replace(drafts[2], messages=[{"role": "user", "content": "why " * 100_000}])
    with PartWriter(path / "drafts", Draft) as writer:
        writer.add(drafts)
    return RunFolder(path)


def configuration(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> LoopConfig:
    config = LoopConfig()
    config.revise.base_url = provider.url
    config.revise.model = "editor"
    config.revise.api_key_env = "RAYLIGN_TEST_KEY"
    config.revise.requests_in_flight = 8
    config.revise.actors_max = 1
    config.revise.tokens_per_minute = 120_000
    config.revise.timeout_seconds = 5.0
    monkeypatch.setenv("RAYLIGN_TEST_KEY", KEY)
    return config


def revisions(folder: RunFolder) -> list[Revision]:
    return read_records(folder.path / "revisions", Revision)


def files_with_key(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in found if KEY.encode() in path.read_bytes()]


def test_mixed_faults_lose_no_row_and_the_key_stays_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 drafts 77 are sent. Some conversations fail once and pass, some get replies that are no revision."""
    import ray

    once = ("error_500", "drop", "malformed", "limit")
    always = {"Question 0010?": "empty", "Question 0020?": "truncated", "Question 0030?": "filtered"}
    provider = Provider(key=KEY, latency_seconds=0.05)

    def reply(messages: list[dict[str, str]]) -> str:
        return f"In short, {messages[-1]['content'][:14]}"

    def fault(number: int, asked_before: int) -> str:
        question = next(iter(text for text in always if text in provider.last), "")
        return always.get(question) or (once[number % 4] if number % 7 == 0 and asked_before == 0 else "")

    provider.reply, provider.fault = reply, fault
    with provider:
        config, folder = configuration(provider, monkeypatch), run_folder(tmp_path, 80)
        config.revise.actors_max = 2
        figures = stage.run(config, folder, SCREEN)
        rows = revisions(folder)
        assert Counter(row.draft_id for row in rows) == Counter(content_id("draft", number) for number in range(2, 80))
        assert figures["status"] == {"ok": 74, "empty": 1, "cut_off": 1, "refused": 1, "too_large": 1}
        assert all(row.revision == f"In short, {row.messages[0]['content']}" for row in rows if row.status == "ok")
        assert all(provider.served[kind] for kind in ("error_500", "drop", "malformed", "429"))
        failed = sum(provider.served[kind] for kind in ("error_500", "drop", "malformed", "429"))
        assert figures["attempts"] == 77 + failed, "what never fits the limit is never sent"
        assert 2 <= provider.most_in_flight <= 16
        before = sum(provider.served.values())
        again = stage.run(config, folder, SCREEN)
        assert (sum(provider.served.values()), again) == (before, figures), "a second run calls nothing"
    pairs = pairs_stage.run(config, folder, SCREEN)
    assert pairs["candidates"] == 80 == pairs["pairs"] + sum(pairs["rejected"].values())
    assert pairs["rejected"] == {
        "engine_error": 1, "empty_draft": 1, "empty": 1, "cut_off": 1, "refused": 1,
        "too_large": 1,
    }  # fmt: skip
    assert files_with_key(tmp_path) == []
    session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
    assert files_with_key(session) == []


def test_retry_after_is_obeyed_and_the_limit_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider allows 600 a minute and raylign is told 480: no call too many. One is asked to wait, and all do.

    Each request has one try, and the refused one is sent again all the same: it was never worked on.
    """

    def fault(number: int, asked_before: int) -> str:
        return "limit" if number == 10 else ""

    with Provider(key=KEY, requests_per_minute=600, burst=10, fault=fault) as provider:
        config, folder = configuration(provider, monkeypatch), run_folder(tmp_path, 42)
        config.revise.requests_per_minute, config.revise.max_attempts = 480, 1
        started = time.monotonic()
        figures = stage.run(config, folder, SCREEN)
        assert figures["status"] == {"ok": 39, "too_large": 1}
        assert figures["attempts"] == 39 + 1, "all requests sent are told"
        assert provider.served["429"] == 1
        # In flight already when the 429 was on its way: those, and no others, may come before its time is over.
        assert provider.early <= 8
        assert provider.arrivals[-1] - provider.arrivals[0] >= 40 / 8 - 1.5
        assert time.monotonic() - started < 60


def test_a_wrong_key_stops_before_any_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Provider(key="sk-the-right-one") as provider:
        config, folder = configuration(provider, monkeypatch), run_folder(tmp_path, 12)
        with pytest.raises(EndpointError, match="RAYLIGN_TEST_KEY") as caught:
            stage.run(config, folder, SCREEN)
        assert caught.value.exit_code == 2
        assert KEY not in str(caught.value)
        assert not provider.arrivals
    assert revisions(folder) == []


def test_a_key_revoked_midway_stops_the_job_and_keeps_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider(key=KEY, latency_seconds=0.02)

    def fault(number: int, asked_before: int) -> str:
        if number == 40:
            provider.key = "sk-another"
        return ""

    provider.fault = fault
    with provider:
        config, folder = configuration(provider, monkeypatch), run_folder(tmp_path, 202)
        with pytest.raises(EndpointError, match="RAYLIGN_TEST_KEY"):
            stage.run(config, folder, SCREEN)
        kept = revisions(folder)
        assert sum(row.status == "ok" for row in kept) == provider.served["ok"] >= 41, "what was paid for is kept"
        assert provider.served["401"] <= 16, "no more than were in flight"
        provider.key = KEY
        figures = stage.run(config, folder, SCREEN)
        assert figures["status"] == {"ok": 199, "too_large": 1}
        assert provider.served["ok"] == 199, "and none was asked for twice"
    assert len(part_paths(folder.path / "revisions")) >= 2


def test_rows_without_an_answer_are_tried_by_the_next_run_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider dies after 30 replies and never answers again: the job ends, writes no failure, and resumes."""
    provider = Provider(key=KEY)
    provider.fault = lambda number, asked_before: "error_500" if number >= 30 else ""
    with provider:
        config, folder = configuration(provider, monkeypatch), run_folder(tmp_path, 142)
        config.revise.max_attempts = 1
        with pytest.raises(EndpointError, match=r"no reply any more .*server_error"):
            stage.run(config, folder, SCREEN)
        assert Counter(row.status for row in revisions(folder)) == {"ok": 30, "too_large": 1}
        others = config.revise.requests_in_flight - 1
        failed_before_the_last_reply, on_their_way_at_the_end = others, others
        most = 30 + failed_before_the_last_reply + UNANSWERED_IN_A_ROW + on_their_way_at_the_end
        assert sum(provider.served.values()) <= most
        provider.fault = lambda number, asked_before: ""
        assert stage.run(config, folder, SCREEN)["status"] == {"ok": 139, "too_large": 1}
        assert provider.served["ok"] == 139, "none was asked for twice"


def test_a_journal_answers_for_the_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost rows come back from the journal without a call; one draft more, in another run that shares it, costs one."""
    with Provider(key=KEY) as provider:
        config, folder = configuration(provider, monkeypatch), run_folder(tmp_path / "one", 60)
        config.revise.journal = str(tmp_path / "journal")
        first = stage.run(config, folder, SCREEN)
        for part in part_paths(folder.path / "revisions"):
            part.unlink()
        again = stage.run(config, folder, SCREEN)
        assert (again["status"], again["prompt_tokens"]) == (first["status"], first["prompt_tokens"])
        assert again["attempts"] == 0
        assert provider.served["ok"] == 57
        stage.run(config, run_folder(tmp_path / "two", 61), SCREEN)
        assert provider.served["ok"] == 58
    assert files_with_key(tmp_path) == []


def test_faults_end_as_rows_with_a_reason_and_sums_equal_the_providers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 400 calls some 5% fail and some 5% bring a reply in no form; two repairs, and nothing is lost or uncounted."""
    provider = Provider(key=KEY)
    broken = [f"Question {number:04}?" for number in range(5, 400, 20)]

    def reply(messages: list[dict[str, str]]) -> str:
        text = messages[1]["content"]
        asked_again = len(messages) > 2
        # The last of the broken ones never gets it right.
        if any(question in text for question in broken) and (not asked_again or broken[-1] in text):
            return "Of course, and here is what I would say about it."
        return "{teacher_reasoning}: It was long.\n{corrected_student_solution}: Brief and right."

    def fault(number: int, asked_before: int) -> str:
        return ("error_500", "drop", "malformed")[number % 3] if number % 20 == 3 and asked_before == 0 else ""

    provider.reply, provider.fault = reply, fault
    with provider:
        config, folder = configuration(provider, monkeypatch), run_folder(tmp_path, 403)
        config.revise.template, config.revise.max_repairs = "clair", 2
        config.revise.tokens_per_minute = 10**8
        config.revise.usd_per_million_prompt_tokens, config.revise.usd_per_million_reply_tokens = 10.0, 30.0
        config.revise.requests_in_flight = 32
        figures = stage.run(config, folder, SCREEN)
    rows = revisions(folder)
    assert figures["status"] == {"ok": 400, "unparsed": 1}
    assert max(row.repairs for row in rows) == 2
    assert figures["repairs"] == len(broken) + 1
    assert sum(provider.served[kind] for kind in ("error_500", "drop", "malformed")) >= 15
    # The draft that is too long for the limit in the other tests is sent here, and paid for.
    assert figures["attempts"] == sum(provider.served.values())
    assert figures["prompt_tokens"] == provider.tokens["prompt_tokens"]
    assert figures["reply_tokens"] == provider.tokens["completion_tokens"]
    cost = (provider.tokens["prompt_tokens"] * 10 + provider.tokens["completion_tokens"] * 30) / 1e6
    assert figures["usd"] == pytest.approx(cost, abs=1e-6)


def test_the_budget_is_a_hard_cap_and_the_run_goes_on_when_it_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At $1,000 a million tokens the provider's words cost a tenth of a cent each."""
    with Provider(key=KEY, latency_seconds=0.05) as provider:
        config, folder = configuration(provider, monkeypatch), run_folder(tmp_path, 120)
        config.revise.usd_per_million_prompt_tokens = config.revise.usd_per_million_reply_tokens = 1000.0
        config.revise.max_usd = 3.0
        with pytest.raises(EndpointError, match=r"revise\.max_usd is 3 "):
            stage.run(config, folder, SCREEN)
        paid = provider.tokens.total() / 1000
        assert 1.0 < paid <= 3.0
        kept = [row for row in revisions(folder) if row.status == "ok"]
        assert len(kept) == provider.served["ok"], "everything paid for is kept"
        config.revise.max_usd = 1000.0
        assert stage.run(config, folder, SCREEN)["status"] == {"ok": 117, "too_large": 1}
        assert provider.served["ok"] == 117


def test_a_limiter_that_dies_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed three times on the way: every draft gets its one reply all the same."""
    import threading

    import ray

    killed: list[str] = []

    def kill() -> None:
        while len(killed) < 3 and not stop.wait(2.0):
            for name in ray.util.list_named_actors():
                if name.startswith("raylign-limiter-"):
                    ray.kill(ray.get_actor(name), no_restart=False)
                    killed.append(name)

    stop = threading.Event()
    with Provider(key=KEY) as provider:
        config, folder = configuration(provider, monkeypatch), run_folder(tmp_path, 103)
        config.revise.requests_per_minute = 600
        thread = threading.Thread(target=kill)
        thread.start()
        figures = stage.run(config, folder, SCREEN)
        stop.set()
        thread.join()
    assert figures["status"] == {"ok": 100, "too_large": 1}
    assert len(killed) >= 2
    assert provider.served["ok"] == 100


def test_a_limiter_that_was_restarted_gives_nothing_twice(tmp_path: Path) -> None:
    """Its buckets begin empty, and what was committed of the budget stays committed."""
    import ray

    limiter = start_limiter(Limits(600, 10**9, max_usd=1.0), 0.0, Ledger(tmp_path))
    try:
        asks = [Ask(1, usd=0.03)] * 20
        first = ray.get(limiter.exchange.remote([], asks))
        assert len(first.leases) == 5, "a burst of half a second"
        ray.kill(limiter, no_restart=False)
        again = ray.get(limiter.exchange.remote([], asks))
        assert len(again.leases) <= 1
        assert ray.get(limiter.report.remote()).committed_usd >= 0.15
    finally:
        ray.kill(limiter)
