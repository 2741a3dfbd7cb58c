"""A stage that stands still is named within a minute with what it waits for; one that moves is left in peace."""

import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from raylign import watchdog
from raylign.screen import Screen
from raylign.watchdog import ASK_SECONDS, POLL_SECONDS, WATCH_SECONDS, Watch, Watchdog, ask, line_of


@dataclass
class Stage:
    """A stage's progress, set by hand."""

    name: str = "sample"
    unit: str = "draft"
    changed_at: float = 0.0
    note: str = ""
    waits_for: Callable[[], str] = lambda: "an engine"


def lines_over(seconds: range, stage: Stage, progress_at: tuple[int, ...] = ()) -> dict[int, str]:
    """What is said at which second, with a look every second."""
    said: dict[int, str] = {}
    clock = 0.0
    dog = Watchdog(stage, lambda text: said.__setitem__(int(clock), text), clock=lambda: clock)
    for second in seconds:
        clock = float(second)
        if second in progress_at:
            stage.changed_at = clock
        dog.look()
    return said


def test_a_standstill_is_named_after_45_seconds_and_then_with_growing_pauses() -> None:
    said = lines_over(range(0, 3000), Stage())
    assert list(said)[:5] == [45, 135, 315, 675, 1275]
    assert said[45] == "sample     no draft for 45 s: an engine"
    assert said[135] == "sample     no draft for 135 s: an engine"


def test_the_first_line_comes_within_a_minute_even_where_the_cluster_does_not_answer() -> None:
    assert WATCH_SECONDS + POLL_SECONDS + ASK_SECONDS < 60


def test_a_stage_that_moves_is_left_in_peace() -> None:
    assert lines_over(range(0, 1000), Stage(), progress_at=tuple(range(0, 1000, 40))) == {}


def test_after_progress_the_watch_begins_anew() -> None:
    said = lines_over(range(0, 400), Stage(), progress_at=(200,))
    assert list(said) == [45, 135, 245, 335]


def test_each_standstill_is_spoken_of_once() -> None:
    watch = Watch()
    assert watch.standstill(10.0, 54.9) is None
    assert watch.standstill(10.0, 55.0) == 45.0
    assert watch.standstill(10.0, 55.1) is None


def test_the_line_has_the_stages_own_words_before_the_clusters() -> None:
    line = line_of("sample", "draft", 46.2, "1 actor is still starting", "starting engines")
    assert line == "sample     no draft for 46 s: starting engines; 1 actor is still starting"
    assert line_of("evaluate", "", 60, "", "") == "evaluate   no change for 60 s"


def test_what_moved_while_the_cluster_was_asked_is_not_called_a_standstill() -> None:
    stage = Stage()

    def moves() -> str:
        stage.changed_at = 99.0
        return "an engine"

    stage.waits_for = moves
    assert lines_over(range(0, 46), stage) == {}


def test_an_answer_that_fails_is_left_out_and_one_that_hangs_is_told() -> None:
    def fails() -> str:
        raise RuntimeError("no cluster")

    release = threading.Event()

    def hangs() -> str:
        release.wait(10)
        return "late"

    assert ask(fails, 1.0) == ""
    started = time.monotonic()
    assert "does not say" in ask(hangs, 0.1)
    assert time.monotonic() - started < 2
    release.set()


def test_a_screen_that_is_gone_does_not_reach_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "POLL_SECONDS", 0.01)
    called = threading.Event()

    def broken(text: str) -> None:
        called.set()
        raise ValueError("I/O operation on closed file")

    dog = Watchdog(Stage(), broken, clock=lambda: 100.0)
    dog.start()
    assert called.wait(5)
    dog.stop()
    assert not dog.thread.is_alive()


def test_the_screen_watches_its_stages_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(watchdog, "WATCH_SECONDS", 0.05)
    stream = io.StringIO()
    before = threading.active_count()
    with Screen(stream).stage("sample", "draft", lambda: "room for 1 GPU") as progress:
        progress.update(3, 9, "starting engines")
        deadline = time.monotonic() + 5
        while "no draft" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    said = stream.getvalue()
    assert "sample     no draft for 0 s: starting engines; room for 1 GPU" in said
    assert threading.active_count() == before
    time.sleep(0.1)
    assert stream.getvalue() == said


def test_saying_the_same_again_is_no_progress() -> None:
    screen = Screen(io.StringIO())
    with screen.stage("train", "step") as progress:
        progress.update(1, 9, "step")
        seen = progress.changed_at
        time.sleep(0.01)
        progress.update(1, 9, "step")
        assert progress.changed_at == seen
        progress.update(2, 9, "step")
        assert progress.changed_at > seen
