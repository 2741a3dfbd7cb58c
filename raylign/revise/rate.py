"""How fast requests may go: buckets that fill with time, and a pace that yields when the provider objects. Pure.

Time is an argument, in seconds of any steady clock.
"""


class Bucket:
    """`per_minute` units flow in evenly, up to half a second's worth, and at least one unit.

    So no minute sees more than the limit and that burst. It is half of what providers usually tolerate: requests that
    were let go evenly arrive in clumps. More than the bucket holds may be taken from a full one; it then has to fill
    from below zero: a large request starts no later than a small one, and the average still holds.
    """

    BURST_SECONDS = 0.5

    def __init__(self, per_minute: float, now: float, full: bool = True) -> None:
        self.at = now
        self.per_second = per_minute / 60.0
        self.level = self.burst if full else 0.0

    @property
    def burst(self) -> float:
        """Most units it holds."""
        return max(1.0, self.per_second * self.BURST_SECONDS)

    def set_rate(self, per_minute: float, now: float) -> None:
        """Let units flow in at another rate from now on; at a lower one, what is left counts for less time ahead."""
        self.fill(now)
        before, self.per_second = self.per_second, per_minute / 60.0
        if self.level > 0.0 and self.per_second < before:
            self.level *= self.per_second / before

    def fill(self, now: float) -> None:
        """Bring the level up to `now`; a clock that went back adds nothing."""
        flowed_in = max(0.0, now - self.at) * self.per_second
        self.level = min(self.burst, self.level + flowed_in)
        self.at = max(self.at, now)

    def wait_seconds(self, units: float) -> float:
        """Time until `units` may be taken."""
        return max(0.0, min(units, self.burst) - self.level) / self.per_second

    def give_back(self, units: float) -> None:
        """Return units that were taken and not used; negative ones take what was used beyond.

        What would pass the burst is lost: the provider's own bucket did not grow beyond its burst either, and would
        refuse what comes at once.
        """
        self.level = min(self.burst, self.level + units)

    def at_most(self, level: float) -> None:
        """Hold no more than this: the provider says how much is left."""
        self.level = min(self.level, max(0.0, level))


class Pace:
    """Share of the limit that is used, 0 to 1: additive increase, multiplicative decrease (Chiu and Jain, 1989).

    It matters where the provider allows less than it was said to. One cut answers all refusals of requests that were
    on their way before it, as in TCP: they say nothing about the new pace.
    """

    CUT = 0.93
    """What a refusal leaves of the share."""
    GROWTH_PER_SECOND = 0.002
    """Slow, since every probe beyond the provider's limit costs a refusal and the pause that comes with it."""
    LOWEST = 0.02

    def __init__(self, now: float) -> None:
        self.share = 1.0
        self.at = now
        self.cut_at = float("-inf")

    def grow(self, now: float) -> None:
        """Bring the share up to `now`."""
        self.share = min(1.0, self.share + max(0.0, now - self.at) * self.GROWTH_PER_SECOND)
        self.at = max(self.at, now)

    def refused(self, sent_at: float, now: float) -> None:
        """A request sent at `sent_at` was refused for its rate."""
        self.grow(now)
        if sent_at > self.cut_at:
            self.share = max(self.LOWEST, self.share * self.CUT)
            self.cut_at = now
