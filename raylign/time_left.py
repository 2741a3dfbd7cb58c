"""How fast a count rises, and how long the rest of it takes, in plain words. Pure; time is an argument, in seconds."""

import math
from collections import deque

_WINDOW_SECONDS = 60.0
_STEP_SECONDS = 0.25
"""Counts that come closer together are not all remembered: memory stays small however fast they come."""
_FIRST_SECONDS = 10.0
"""A rate seen for less than this tells nothing of the rest."""


class RecentRate:
    """Remembers the last minute of a count."""

    def __init__(self, least_seconds: float) -> None:
        self.least_seconds = least_seconds
        """No rate is told before this much time was seen."""
        self.seen: deque[tuple[float, int]] = deque()

    def per_second(self, count: int, now: float) -> float:
        """Take the count as it stands in; returns how fast it rose over the last minute, 0 where that is not known.

        A count that fell is another one, begun anew where whoever counts was started again.
        """
        if self.seen and count < self.seen[-1][1]:
            self.seen.clear()
        if not self.seen or now - self.seen[-1][0] >= _STEP_SECONDS:
            self.seen.append((now, count))
        # One from before the minute stays: counts that come further apart than that still have a rate.
        while len(self.seen) > 2 and now - self.seen[1][0] >= _WINDOW_SECONDS:
            self.seen.popleft()
        began, before = self.seen[0]
        return (count - before) / (now - began) if now - began >= self.least_seconds else 0.0


class TimeLeft:
    """How long a stage still takes, by the pace of its last minute."""

    def __init__(self) -> None:
        self.rate = RecentRate(_FIRST_SECONDS)
        self.before: int | None = None

    def words(self, done: int, total: int, now: float) -> str:
        """For example `about 4 min left`; nothing in the first seconds, while nothing is done, and at the end.

        Args:
            done: Rows that are finished, of `total`; those of an earlier start are no work of this one.
        """
        if self.before is None:
            self.before = done
        if done == self.before:  # the start of engines is not part of the pace
            return ""
        per_second = self.rate.per_second(done, now)
        if not per_second or done >= total:
            return ""
        seconds = (total - done) / per_second
        return f"about {duration(math.ceil(seconds / 10) * 10)} left"


def duration(seconds: float) -> str:
    """A time in its two largest units: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`; `any` where it has no end."""
    if not math.isfinite(seconds):
        return "any"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    whole_hours, minutes = divmod(minutes, 60)
    if whole_hours < 48:
        return f"{whole_hours} h {minutes} min"
    days, whole_hours = divmod(whole_hours, 24)
    return f"{days} d {whole_hours} h"
