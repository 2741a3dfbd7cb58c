"""The words beside the bar while revising."""

from collections import Counter

from raylign.revise.limiter import Figures
from raylign.revise.progress import Progress


def test_counts_reasons_and_the_rate_of_the_last_minute() -> None:
    """80 were sent by second 40 and 150 by second 100: 70 in the minute between."""
    progress = Progress(6000)
    assert progress.words(Counter(), Figures(), 0.0) == "0 revised, 0 not, 0 in flight"
    for second in range(1, 51):
        progress.words(Counter(), Figures(sent=2 * second), float(second))
    for second in range(51, 101):
        words = progress.words(
            Counter({"ok": 190, "cut_off": 20, "empty": 2}),
            Figures(sent=50 + second, in_flight=55, refused_for_rate=3, share=0.93, committed_usd=1.234),
            float(second),
        )
    assert words == (
        "190 revised, 22 not (20 cut_off, 2 empty), 55 in flight, 70 of 6000 requests a minute, "
        "3 refused for the rate, now at 93% of it, $1.23"
    )


def test_a_limiter_that_died_and_counts_anew_makes_no_negative_rate() -> None:
    progress = Progress(6000)
    progress.words(Counter(), Figures(sent=500), 0.0)
    progress.words(Counter(), Figures(sent=600), 30.0)
    assert "requests a minute" not in progress.words(Counter(), Figures(sent=4), 31.0)
    assert "60 of 6000 requests a minute" in progress.words(Counter(), Figures(sent=14), 41.0)
