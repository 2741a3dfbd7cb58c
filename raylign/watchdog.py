"""Names a stage that makes no progress, and what it waits for. `Watch` decides on a clock; `Watchdog` is its thread."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

WATCH_SECONDS = 45.0
"""Without progress for so long, a line says so."""
POLL_SECONDS = 2.5
ASK_SECONDS = 5.0
"""For finding out what is waited for; with the two above, a line comes within a minute."""
_LONGEST_PAUSE_SECONDS = 600.0


class Watched(Protocol):
    """What can be watched: a stage's progress."""

    name: str
    unit: str
    """What is counted, such as `draft`; empty where nothing is."""
    changed_at: float
    """When it last came further, on the watchdog's clock."""
    note: str
    """The last words said of it."""
    waits_for: Callable[[], str]
    """What it waits for right now, in a few words; empty where that is not known. May raise, and may take long."""


class Watch:
    """Decides when to speak of a standstill: after `WATCH_SECONDS`, and then after pauses that double."""

    def __init__(self) -> None:
        self.changed_at = float("nan")
        self.pause = self.due = 0.0

    def standstill(self, changed_at: float, now: float) -> float | None:
        """Seconds without progress where it is time to say so, else None."""
        if changed_at != self.changed_at:
            self.changed_at, self.pause, self.due = changed_at, WATCH_SECONDS, changed_at + WATCH_SECONDS
        if now < self.due:
            return None
        self.pause = min(2 * self.pause, _LONGEST_PAUSE_SECONDS)
        self.due = now + self.pause
        return now - changed_at


def line_of(name: str, unit: str, seconds: float, cause: str, note: str) -> str:
    """What to say of a standstill: for how long, where it stands, and what it waits for."""
    words = "; ".join(part for part in (note, cause) if part)
    return f"{name:<10} no {unit or 'change'} for {seconds:.0f} s{f': {words}' if words else ''}"


class Watchdog:
    """Watches one stage from a daemon thread. It only ever speaks: whatever fails in it leaves the stage alone."""

    def __init__(
        self, watched: Watched, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.watched = watched
        self.say = say
        self.clock = clock
        self.watch = Watch()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"watchdog-{watched.name}", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self.thread.start()

    def stop(self) -> None:
        """Say nothing from here on, and end."""
        self.stopped.set()
        self.thread.join(timeout=1.0)

    def look(self) -> None:
        """Say a line where one is due."""
        watched, seen = self.watched, self.watched.changed_at
        seconds = self.watch.standstill(seen, self.clock())
        if seconds is None:
            return
        cause = ask(watched.waits_for, ASK_SECONDS)
        if watched.changed_at == seen and not self.stopped.is_set():
            self.say(line_of(watched.name, watched.unit, seconds, cause, watched.note))

    def _run(self) -> None:
        while not self.stopped.wait(POLL_SECONDS):
            try:
                self.look()
            except Exception:  # a screen that is gone, say: the stage goes on
                return


def ask(waits_for: Callable[[], str], seconds: float) -> str:
    """What `waits_for` answers within so many seconds; no answer in time is told, one that fails is left out."""
    answer: list[str] = []

    def target() -> None:
        try:
            answer.append(waits_for())
        except Exception:
            answer.append("")

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else "the cluster does not say within a few seconds what it is busy with"
