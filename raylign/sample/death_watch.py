"""Ends a block that waits for engines which die without end; a thread that looks now and then. This acts."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raylign import interrupt
from raylign.facts import engine_restarts
from raylign.sample.deaths import Deaths, explain

_SECONDS_BETWEEN_LOOKS = 5.0


@contextmanager
def ended_by_deaths(drafts: Callable[[], int]) -> Iterator[None]:
    """Run a block in the main thread, which waits for drafts.

    Args:
        drafts: How many came so far; called from another thread.

    Raises:
        ModelError: the engines die over and over, and nothing is drafted in between.
    """
    deaths, over, given_up = Deaths(), threading.Event(), list[int]()

    def look() -> None:
        while not over.wait(_SECONDS_BETWEEN_LOOKS):
            try:
                engines, restarts = engine_restarts()
                made = drafts()
            except Exception:  # a cluster that does not answer is the block's own matter
                continue
            if deaths.hopeless(engines, restarts, made) and not over.is_set():
                given_up.append(restarts)
                interrupt.wake_main_thread()
                return

    thread = threading.Thread(target=look, name="engine-deaths", daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if given_up:
            raise explain(given_up[0]) from None
        raise
    finally:
        over.set()
        thread.join(timeout=_SECONDS_BETWEEN_LOOKS)
