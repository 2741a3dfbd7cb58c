"""Batch mode where things break: an endpoint that is away, answers that are lost, a driver killed at any moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batch_run import KEY, PRICES, draft, fill, is_about, make_run, replies, revise
from provider import Provider
from provider_batches import Batches, Fate

from raylign.errors import ConfigError, EndpointError
from raylign.journal.writer import JournalWriter
from raylign.revise.batch_api import BatchApi
from raylign.revise.batch_files import BatchFiles, InputFile, batches_usd, require_collected


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with five drafts, asked in batches of two."""
    return make_run(tmp_path / "run", [draft(number) for number in range(5)])


def test_a_batch_that_expires_untouched_ends_the_stage_and_is_submitted_anew_by_the_next(run: Path) -> None:
    fates = {0: Fate("expired", done=0)}
    with Provider(key=KEY, batches=Batches(fate=lambda number: fates.get(number, Fate()))) as provider:
        config = revise(provider, batch_requests=5)
        with pytest.raises(EndpointError, match="expired"):
            fill(config, run)
        fill(config, run)
        assert len(replies(config, run)) == 5


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
            fill(config, run, sleep=sleep)
        assert sum(waits) > 1800
        provider.batches.errors, provider.batches.seconds = [], 0.0
        fill(config, run)
        assert len(replies(config, run)) == 5
        assert len(provider.batches.made) == 3


class KilledError(BaseException):
    """The process is gone: nobody catches this."""


def killed(seconds: float) -> None:
    """Kills a start that waits for its batches."""
    raise KilledError


def test_calls_are_refused_while_batches_are_open_and_allowed_when_they_have_ended(run: Path) -> None:
    fates = {number: Fate("cancelled", done=1) for number in range(3)}
    with Provider(key=KEY, batches=Batches(seconds=60.0, fate=lambda number: fates[number])) as provider:
        config = revise(provider)
        with pytest.raises(KilledError):
            fill(config, run, sleep=killed)
        with pytest.raises(ConfigError, match=r"5 requests .*batch_0, batch_1, batch_2.* set revise\.mode=batch"):
            require_collected("online", run / "revisions")
        require_collected("batch", run / "revisions")
        assert provider.batches is not None
        provider.batches.seconds = 0.0  # somebody cancels them there
        with pytest.raises(EndpointError, match="batch_0 was cancelled"):
            fill(config, run, sleep=killed)
        require_collected("online", run / "revisions")
        assert len(replies(config, run)) == 3


def test_a_file_that_never_left_keeps_nobody_from_calling(run: Path) -> None:
    with Provider(key=KEY, batches=Batches(errors=[413])) as provider, pytest.raises(EndpointError):
        fill(revise(provider), run)
    require_collected("online", run / "revisions")


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
