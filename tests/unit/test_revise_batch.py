"""Batch mode against a real HTTP provider: what is submitted, collected, charged, and taken up again after a crash."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from provider import Provider
from provider_batches import Batches, Fate

from raylign.config import ReviseConfig
from raylign.errors import EndpointError
from raylign.journal.files import JournalFiles
from raylign.journal.reader import Journal
from raylign.journal.writer import JournalWriter
from raylign.parts import PartWriter, read_records
from raylign.records import Draft, content_id
from raylign.revise import batch
from raylign.revise.batch import fill_journal
from raylign.revise.batch_api import BatchApi
from raylign.revise.batch_files import BatchFiles, InputFile, batches_usd
from raylign.revise.batch_plan import BatchRequest, batch_request
from raylign.revise.replies import Reply
from raylign.revise.secret import Secret
from raylign.revise.templates import load_template, request_key

KEY = "sk-batch-51aa0c"
PRICES = {"usd_per_million_prompt_tokens": 1e6, "usd_per_million_reply_tokens": 1e6}
"""A dollar a token."""


def draft(number: int, question: str = "") -> Draft:
    messages = [{"role": "user", "content": question or f"Question {number:02}?"}]
    return Draft(
        content_id("draft", number), f"p{number}", messages, "train", "set", "A long answer.", "target", "{}", 0, 3, 3,
        False, "ok", "",
    )  # fmt: skip


def make_run(folder: Path, drafts: list[Draft]) -> Path:
    (folder / "revisions").mkdir(parents=True)
    with PartWriter(folder / "drafts", Draft) as writer:
        writer.add(drafts)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with five drafts, asked in batches of two."""
    return make_run(tmp_path / "run", [draft(number) for number in range(5)])


def revise(provider: Provider, **changes: Any) -> ReviseConfig:
    settings = {"batch_requests": 2, "batch_poll_seconds": 0.01, "api_key_env": "THE_KEY", **changes}
    return ReviseConfig(base_url=provider.url, model="editor", **settings)


def fill(
    config: ReviseConfig, run: Path, say: Callable[[str], None] = lambda words: None, calls_usd: float = 0.0
) -> None:
    fill_journal(config, run, JournalFiles(str(run / "journal")), Secret(KEY), calls_usd, say, lambda seconds: None)


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
    return batch_request(template.messages(asked.messages, asked.answer), config, template)


def is_about(provider: Provider, *numbers: int) -> bool:
    return any(f"Question {number:02}?" in provider.last for number in numbers)


def test_every_reply_comes_into_the_journal_without_a_single_call(run: Path) -> None:
    with Provider(key=KEY, batches=Batches(), reply=in_short) as provider:
        config = revise(provider, **PRICES)
        fill(config, run)
        kept = replies(config, run)
        assert len(kept) == 5
        assert all(reply.text == f"In short, {question}" for question, reply in kept.items())
        assert provider.arrivals == []
        assert provider.batches is not None
        assert [made["request_counts"]["total"] for made in provider.batches.made] == [2, 2, 1]
        assert {made["completion_window"] for made in provider.batches.made} == {"24h"}
        assert len({made["metadata"]["raylign"] for made in provider.batches.made}) == 3
        assert batches_usd(run / "revisions") == sum(provider.tokens.values()) * 0.5, "half price, by the tokens used"
        assert {reply.price_share for reply in kept.values()} == {0.5}
        fill(config, run)
        assert len(provider.batches.made) == 3, "a second start finds everything in the journal"
    assert list((run / "revisions" / "batches").iterdir()) == [], "input files are dropped"


def test_batches_are_split_by_bytes_and_a_request_too_large_for_any_is_left_to_calls(tmp_path: Path) -> None:
    run = make_run(tmp_path, [*(draft(number) for number in range(4)), draft(4, "why " * 500)])
    with Provider(key=KEY, batches=Batches()) as provider:
        config = revise(provider, batch_requests=100)
        size = 2.5 * len(request_of(draft(0), config).line)
        config.batch_megabytes = size / 1e6
        fill(config, run)
        assert provider.batches is not None
        assert [made["request_counts"]["total"] for made in provider.batches.made] == [2, 2]
        assert max(len(content) for content in provider.batches.files.values() if b'"method"' in content) <= size
        assert len(replies(config, run)) == 4


@pytest.mark.parametrize("batch_requests", [1, 2, 100])
def test_drafts_that_ask_the_same_are_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_requests: int
) -> None:
    """Whether they are looked up together or not, and meet in one batch or not."""
    monkeypatch.setattr(batch, "_ROWS", 2)
    questions = (0, 1, 0, 2, 2, 1, 0, 3)
    run = make_run(tmp_path, [draft(at, f"Question {number:02}?") for at, number in enumerate(questions)])
    with Provider(key=KEY, batches=Batches()) as provider:
        fill(revise(provider, batch_requests=batch_requests), run)
        assert list(provider.asked.values()) == [1, 1, 1, 1]


def test_lines_that_fail_or_are_lost_are_left_to_calls_and_not_batched_again(run: Path) -> None:
    faults = {0: "error_500", 1: "limit", 2: "drop", 3: "no_choices"}
    with Provider(key=KEY, batches=Batches()) as provider:
        provider.fault = lambda number, asked_before: next(
            (fault for number, fault in faults.items() if is_about(provider, number)), ""
        )
        config = revise(provider, **PRICES)
        fill(config, run)
        kept = replies(config, run)
        assert list(kept) == ["Question 04?"]
        charged = (kept["Question 04?"].prompt_tokens + kept["Question 04?"].reply_tokens) * 0.5
        uncertain = 2 * request_of(draft(2), config).usd
        assert batches_usd(run / "revisions") == charged + uncertain, "the lost and the unreadable one may be charged"
        fill(config, run)
        assert set(provider.asked.values()) == {1}


def test_an_expired_batch_gives_what_it_has_and_only_the_missing_goes_into_another(run: Path) -> None:
    fates = {0: Fate("expired", done=3), 1: Fate("expired", done=1)}
    with Provider(key=KEY, batches=Batches(fate=lambda number: fates.get(number, Fate()))) as provider:
        config = revise(provider, batch_requests=5)
        fill(config, run)
        assert provider.batches is not None
        assert [made["request_counts"]["total"] for made in provider.batches.made] == [5, 2, 1]
        assert set(provider.asked.values()) == {1}
        assert len(replies(config, run)) == 5


def test_a_batch_that_expires_untouched_ends_the_stage_and_is_submitted_anew_by_the_next(run: Path) -> None:
    fates = {0: Fate("expired", done=0)}
    with Provider(key=KEY, batches=Batches(fate=lambda number: fates.get(number, Fate()))) as provider:
        config = revise(provider, batch_requests=5)
        with pytest.raises(EndpointError, match="expired"):
            fill(config, run)
        fill(config, run)
        assert len(replies(config, run)) == 5


def test_a_batch_turned_away_by_a_full_queue_waits_until_another_has_ended(run: Path) -> None:
    with Provider(key=KEY, batches=Batches(most_open=1)) as provider:
        config = revise(provider)
        fill(config, run)
        assert len(replies(config, run)) == 5
        assert set(provider.asked.values()) == {1}
        assert provider.batches is not None
        failed = [made for made in provider.batches.made if made["status"] == "failed"]
        assert len(failed) == 2, "once it is known how many the queue takes, no more are sent"


def test_a_failed_batch_ends_the_stage_with_its_reason_and_keeps_the_others(run: Path) -> None:
    fates = {1: Fate("failed", code="invalid_json_line")}
    batches = Batches(fate=lambda number: fates.get(number, Fate()))
    with Provider(key=KEY, batches=batches) as provider:
        config = revise(provider)
        with pytest.raises(EndpointError, match=r"batch_1 failed .*invalid_json_line: line 1"):
            fill(config, run)
        fates.clear()
        fill(config, run)
        assert len(replies(config, run)) == 5
        assert set(provider.asked.values()) == {1}


def test_a_cancelled_batch_keeps_its_results_and_is_not_submitted_again_unasked(run: Path) -> None:
    fates = {0: Fate("cancelled", done=2)}
    with Provider(key=KEY, batches=Batches(fate=lambda number: fates.get(number, Fate()))) as provider:
        config = revise(provider, batch_requests=5)
        with pytest.raises(EndpointError, match="cancelled"):
            fill(config, run)
        assert len(replies(config, run)) == 2
        fill(config, run)
        assert len(replies(config, run)) == 5
        assert set(provider.asked.values()) == {1}


def bound_of_one(config: ReviseConfig) -> float:
    """What the request of one of the run's drafts can cost at most; all of them are equally long."""
    return request_of(draft(0), config).usd


def test_batches_that_are_open_together_fit_the_budget_by_their_bounds(run: Path) -> None:
    """The cap is two and a half bounds beside what calls cost; a request costs far less than its bound."""
    said: list[str] = []
    with Provider(key=KEY, batches=Batches()) as provider:
        config = revise(provider, batch_requests=1, **PRICES)
        config.max_usd = 100.0 + 2.5 * bound_of_one(config)
        fill(config, run, said.append, calls_usd=100.0)
        assert len(replies(config, run)) == 5
        assert max(int(words.split("ended, ")[1].split()[0]) for words in said if "ended" in words) == 2
        assert 100.0 + batches_usd(run / "revisions") <= config.max_usd


def test_the_stage_stops_where_the_next_batch_could_exceed_the_budget(run: Path) -> None:
    with Provider(key=KEY, batches=Batches()) as provider:
        config = revise(provider, batch_requests=1, **PRICES)
        config.max_usd = 1.01 * bound_of_one(config)
        with pytest.raises(EndpointError, match=r"the next batch could exceed it.* raise revise\.max_usd"):
            fill(config, run)
        assert len(replies(config, run)) == 1
        config.max_usd = 100 * bound_of_one(config)
        fill(config, run)
        assert len(replies(config, run)) == 5
        assert set(provider.asked.values()) == {1}


def test_a_wrong_key_is_named_by_its_variable_and_shown_nowhere(run: Path) -> None:
    with Provider(key="sk-the-right-one", batches=Batches()) as provider:
        with pytest.raises(EndpointError, match="THE_KEY") as caught:
            fill(revise(provider), run)
        assert KEY not in str(caught.value)
        provider.key = KEY
        fill(revise(provider), run)
    written = [path for path in run.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_an_endpoint_without_batches_is_an_error_that_names_the_online_mode(run: Path) -> None:
    with (
        Provider(key=KEY) as provider,
        pytest.raises(EndpointError, match=r"no batch endpoint .*revise.mode=online"),
    ):
        fill(revise(provider), run)


@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_batch_whose_answer_was_lost_is_found_among_many_and_not_made_again(run: Path, oldest_first: bool) -> None:
    """Another run's five batches are there already, a month old."""
    other = make_run(run / "other", [draft(number) for number in range(10, 15)])
    with Provider(key=KEY, batches=Batches(oldest_first=oldest_first)) as provider:
        config = revise(provider, batch_requests=1)
        fill(config, other)
        assert provider.batches is not None
        for made in provider.batches.made:
            made["created_at"] -= 30 * 86_400
        provider.batches.lost_answers = 1
        fill(config, run)
        assert len(replies(config, run)) == 5
        assert len(provider.batches.made) == 10
        assert set(provider.asked.values()) == {1}


def test_requests_of_a_refused_file_are_planned_anew_under_the_limits_that_then_hold(run: Path) -> None:
    with Provider(key=KEY, batches=Batches(errors=[413])) as provider:
        with pytest.raises(EndpointError, match=r"lower revise\.batch_requests or revise\.batch_megabytes"):
            fill(revise(provider, batch_requests=5), run)
        config = revise(provider, batch_requests=1)
        fill(config, run)
        assert provider.batches is not None
        assert len(provider.batches.made) == 5
        assert len(replies(config, run)) == 5


def test_a_batch_that_the_endpoint_no_longer_knows_is_an_error_with_its_name(run: Path) -> None:
    batches = Batches()

    def forget(number: int) -> Fate:
        batches.made.clear()
        return Fate()

    batches.fate = forget
    with (
        Provider(key=KEY, batches=batches) as provider,
        pytest.raises(EndpointError, match="does not know batch batch_1"),
    ):
        fill(revise(provider), run)


def test_an_endpoint_that_is_away_for_a_while_and_downloads_that_break_off_are_tried_again(run: Path) -> None:
    with Provider(key=KEY, batches=Batches(errors=[503, 429, 500], broken_downloads=2)) as provider:
        config = revise(provider)
        fill(config, run)
        assert len(replies(config, run)) == 5
        assert set(provider.asked.values()) == {1}


def test_an_endpoint_that_stays_away_ends_the_stage_and_loses_nothing(run: Path) -> None:
    with Provider(key=KEY, batches=Batches()) as provider:
        config = revise(provider)
        assert provider.batches is not None
        provider.batches.seconds = 60.0
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            assert provider.batches is not None
            waits.append(seconds)
            if len(waits) == 1:
                provider.batches.errors = [503] * 10_000

        with pytest.raises(EndpointError, match="server_error"):
            fill_journal(config, run, JournalFiles(str(run / "journal")), Secret(KEY), 0.0, lambda words: None, sleep)
        assert sum(waits) > 1800
        provider.batches.errors, provider.batches.seconds = [], 0.0
        fill(config, run)
        assert len(replies(config, run)) == 5
        assert len(provider.batches.made) == 3


def test_progress_says_how_many_requests_are_done(run: Path) -> None:
    said: list[str] = []
    batches = Batches(seconds=1000.0)

    def sleep(seconds: float) -> None:
        batches.made[0]["started"] -= 401.0

    with Provider(key=KEY, batches=batches) as provider:
        files = JournalFiles(str(run / "journal"))
        fill_journal(revise(provider, batch_requests=5), run, files, Secret(KEY), 0.0, said.append, sleep)
    assert said[0].startswith("uploading batch 1: 5 requests")
    assert said[2] == "batches: 0 ended, 1 open (in_progress): 2 of 5 requests done, 0 failed"


class KilledError(BaseException):
    """The process is gone: nobody catches this."""


POINTS = (
    *((InputFile, "finish"), (BatchFiles, "save"), (BatchFiles, "end"), (BatchFiles, "clean")),
    *((BatchApi, "upload"), (BatchApi, "_create"), (BatchApi, "report"), (BatchApi, "download")),
    (JournalWriter, "add_all"),
)
"""Whatever changes something, here or at the provider, and what is between."""


def count_down(monkeypatch: pytest.MonkeyPatch, left: list[int]) -> None:
    """Kill at the moment that `left[0]` counts down to: after a call of one of the points, or before a `save`."""

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KilledError

    def watched(method: Callable[..., Any], before: bool) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if before:
                tick()
            answer = method(*arguments)
            tick()
            return answer

        return call

    for owner, name in POINTS:
        monkeypatch.setattr(owner, name, watched(getattr(owner, name), before=name == "save"))
    monkeypatch.setattr(JournalWriter, "close", lambda self: None)  # as little as a killed process does


def crash_provider() -> Provider:
    """The first of two batches expires halfway, and the request of the second fails."""
    fates = {0: Fate("expired", done=1)}
    provider = Provider(key=KEY, batches=Batches(fate=lambda number: fates.get(number, Fate())))
    provider.fault = lambda number, asked_before: "bad" if is_about(provider, 2) else ""
    return provider


def test_a_run_killed_at_any_moment_goes_on_and_submits_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [-1]
    count_down(monkeypatch, left)
    drafts = [draft(number) for number in range(3)]
    with crash_provider() as provider:
        fill(revise(provider, **PRICES), make_run(tmp_path / "whole", drafts))
        moments, usd = -1 - left[0], batches_usd(tmp_path / "whole" / "revisions")
    assert moments > 30
    for moment in range(1, moments + 1):
        run = make_run(tmp_path / str(moment), drafts)
        with crash_provider() as provider:
            config = revise(provider, **PRICES)
            left[0] = moment
            with pytest.raises(KilledError):
                fill(config, run)
            fill(config, run)
            assert provider.batches is not None
            assert len(replies(config, run)) == 2, moment
            assert set(provider.asked.values()) == {1}, moment
            assert len(provider.batches.made) == 3, moment
            assert len(provider.batches.uploads) <= 4, moment
            assert batches_usd(run / "revisions") == usd, moment
            lines = [path.read_bytes().count(b"\n") for path in (run / "journal").glob("*.jsonl")]
            assert sum(lines) == 2, moment
