"""A look at something that changes all the time and costs a message to ask, at most so often. Pure."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Seen = TypeVar("Seen")


class Glance(Generic[Seen]):
    """What `look` last gave; it is called anew where that is older than `seconds`."""

    def __init__(self, look: Callable[[], Seen], seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.look, self.seconds, self.clock = look, seconds, clock
        self.seen: tuple[float, Seen] | None = None

    def __call__(self) -> Seen:
        """What it gives now, or gave a moment ago."""
        now = self.clock()
        if self.seen is None or now - self.seen[0] >= self.seconds:
            self.seen = now, self.look()
        return self.seen[1]
