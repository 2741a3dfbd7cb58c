"""How fast requests may go: buckets that fill with time, and a pace that yields when the provider objects. Pure.

Time is an argument, in seconds of any steady clock.
"""


class Bucket:
    """`per_minute` units flow in evenly; holds at most one second's worth, and at least one unit.

    So no minute sees more than the limit and that burst. More than the bucket holds may be taken from a full one; it
    then has to fill from below zero: a large request starts no later than a small one, and the average still holds.
    """

    def __init__(self, per_minute: float, now: float, full: bool = True) -> None:
        self.at = now
        self.level = 0.0
        self.set_rate(per_minute, now)
        self.level = self.burst if full else 0.0

    def set_rate(self, per_minute: float, now: float) -> None:
        """Let units flow in at another rate from now on."""
        if self.level != 0.0 or self.at != now:
            self.fill(now)
        self.per_second = per_minute / 60.0
        self.burst = max(1.0, self.per_second)
        self.level = min(self.level, self.burst)

    def fill(self, now: float) -> None:
        """Bring the level up to `now`; a clock that went back adds nothing."""
        self.level = min(self.burst, self.level + max(0.0, now - self.at) * self.per_second)
        self.at = max(self.at, now)

    def wait_seconds(self, units: float) -> float:
        """Time until `units` may be taken."""
        return max(0.0, min(units, self.burst) - self.level) / self.per_second

    def give_back(self, units: float) -> None:
        """Return units that were taken and not used; negative ones take what was used beyond."""
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
    GROWTH_PER_SECOND = 0.001
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
