"""The time left goes by the last minute's pace, says nothing too early, and stands in a stage's line."""

import io

import pytest
from rich.console import Console

from raylign import screen
from raylign.screen import Screen
from raylign.time_left import RecentRate, TimeLeft, duration


def test_the_time_left_follows_the_pace_of_the_last_minute() -> None:
    """One row a second for 100 s, then two: of 1,000 rows 700 are left at second 200, which is 350 s."""
    left = TimeLeft()
    for second in range(101):
        left.words(second, 1000, float(second))
    assert left.words(100, 1000, 100.0) == "about 15 min left"
    for second in range(101, 201):
        words = left.words(100 + 2 * (second - 100), 1000, float(second))
    assert words == "about 6 min left"


def test_the_start_of_engines_and_rows_of_an_earlier_start_are_no_part_of_the_pace() -> None:
    """400 rows were there; the first new ones come after ten minutes, and then 32 every 16 seconds."""
    left = TimeLeft()
    assert [left.words(400, 560, float(second)) for second in range(0, 600, 60)] == [""] * 10
    assert left.words(432, 560, 600.0) == ""
    assert left.words(464, 560, 616.0) == "about 50 s left"


def test_nothing_is_said_in_the_first_seconds_nor_at_the_end() -> None:
    left = TimeLeft()
    assert [left.words(done, 100, 0.5 * done) for done in range(20)] == [""] * 20
    assert left.words(60, 100, 30.0) == "about 20 s left"
    assert left.words(100, 100, 50.0) == ""


def test_rows_that_come_more_than_a_minute_apart_have_a_pace_too() -> None:
    left = TimeLeft()
    left.words(0, 10, 0.0)
    assert [left.words(done, 10, 200.0 * done) for done in (1, 2, 3, 4)] == [
        "", "about 27 min left", "about 23 min left", "about 20 min left",
    ]  # fmt: skip


def test_a_pace_is_remembered_in_little_memory_however_often_it_is_asked_for() -> None:
    rate = RecentRate(least_seconds=1.0)
    for call in range(100_000):
        found = rate.per_second(call, call / 1000)
    assert found == pytest.approx(1000, rel=0.01)
    assert len(rate.seen) < 300


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(45.2, "45 s"), (720, "12 min"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h"), (float("inf"), "any")],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_a_line_of_a_stage_tells_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(TimeLeft, "words", lambda self, done, total, now: "about 4 min left" if done else "")
    stream = io.StringIO()
    with Screen(stream).stage("revise") as progress:
        progress.update(0, 500, "reaching the reviser")
        progress.update(190, 500, "180 revised, 10 not")
        progress.update(200, 500)
    assert stream.getvalue().splitlines() == [
        "revise     0/500 reaching the reviser",
        "revise     190/500 about 4 min left, 180 revised, 10 not",
        "revise     200/500 about 4 min left",
    ]


def test_on_a_terminal_it_stays_within_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimeLeft, "words", lambda self, done, total, now: "about 4 min left")
    terminal = Screen(io.StringIO())
    terminal.console = Console(file=io.StringIO(), force_terminal=True, width=80, markup=False)
    with terminal.stage("revise") as progress:
        progress.update(
            190, 500, "180 revised, 10 not (9 cut_off, 1 empty), 55 in flight, 70 of 6000 requests a minute"
        )
        assert progress.bar is not None
        shown = Console(width=80)
        with shown.capture() as captured:
            shown.print(progress.bar.get_renderable())
    lines = captured.get().splitlines()
    assert len(lines) == 1
    assert "190/500" in lines[0], "words that are too many cut themselves off, not the counts"
    assert "about 4 min left, 180" in lines[0]
