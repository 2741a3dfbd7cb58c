"""A few words on how revising goes, from counts and the limiter's figures. Pure; time is an argument, in seconds."""

from collections import Counter

from raylign.revise.limiter import Figures
from raylign.revise.reasons import Reason
from raylign.time_left import RecentRate


class Progress:
    """Remembers what was sent lately, to tell the rate; the time left is the screen's to tell, as of every stage."""

    def __init__(self, requests_per_minute: int, verb: str = "revised") -> None:
        self.verb = verb
        self.requests_per_minute = requests_per_minute
        self.sent = RecentRate(least_seconds=1.0)

    def words(self, counts: Counter[str], figures: Figures, now: float) -> str:
        """For example: `190 revised, 22 not (20 cut_off, 2 empty), 55 in flight, 88 of 6000 requests a minute`.

        Args:
            counts: finished rows by status.
        """
        failed = Counter({status: count for status, count in counts.items() if status != Reason.OK})
        reasons = ", ".join(f"{count} {status}" for status, count in failed.most_common(3))
        words = [f"{counts[Reason.OK]} {self.verb}, {failed.total()} not{f' ({reasons})' if reasons else ''}"]
        words.append(f"{figures.in_flight} in flight")
        if rate := self.sent.per_second(figures.sent, now) * 60:
            words.append(f"{rate:.0f} of {self.requests_per_minute} requests a minute")
        if figures.refused_for_rate:
            words.append(f"{figures.refused_for_rate} refused for the rate, now at {figures.share:.0%} of it")
        if figures.committed_usd:
            words.append(f"${figures.committed_usd:.2f}")
        return ", ".join(words)
