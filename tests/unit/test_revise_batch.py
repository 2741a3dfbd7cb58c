"""Batch mode against a real HTTP provider: what is submitted, collected, left to calls, and charged."""

from pathlib import Path

import pytest
from batch_run import KEY, PRICES, draft, fill, in_short, is_about, make_run, replies, request_of, revise
from provider import Provider
from provider_batches import Batches, Fate

from raylign.config import ReviseConfig
from raylign.errors import EndpointError
from raylign.revise import batch
from raylign.revise.batch_files import batches_usd


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with five drafts, asked in batches of two."""
    return make_run(tmp_path / "run", [draft(number) for number in range(5)])


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


def test_progress_says_how_many_requests_are_done(run: Path) -> None:
    said: list[str] = []
    batches = Batches(seconds=1000.0)

    def sleep(seconds: float) -> None:
        batches.made[0]["started"] -= 401.0

    with Provider(key=KEY, batches=batches) as provider:
        fill(revise(provider, batch_requests=5), run, said.append, sleep=sleep)
    assert said[0].startswith("uploading batch 1: 5 requests")
    assert said[2] == "batches: 0 ended, 1 open (in_progress): 2 of 5 requests done, 0 failed"
