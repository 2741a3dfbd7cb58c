"""Ctrl-C and SIGTERM: raised at once, and once more at the next step where a library swallowed the first. This acts.

Some packages catch everything while they are imported, a KeyboardInterrupt too; a run that was told to stop must not go
on for hours because of that. Every step that a stage shows on the screen asks here.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # a polite kill stops as cleanly as Ctrl-C

_told = False
_woken = False


def install() -> None:
    """From now on both signals raise KeyboardInterrupt in the main thread."""
    global _told
    _told = False
    for number in _SIGNALS:
        signal.signal(number, _tell)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Whatever a block puts in the place of these handlers, they are there again after it.

    Ray takes SIGTERM for itself whenever it is started or joined. A cluster that it started it would end under its own
    driver, which aborts; a driver that joined one would exit. Neither says a word.
    """
    installed = [number for number in _SIGNALS if signal.getsignal(number) is _tell]
    try:
        yield
    finally:
        for number in installed:
            signal.signal(number, _tell)


def check() -> None:
    """Raise a KeyboardInterrupt where one was told and the program is still at work."""
    if _told:
        raise KeyboardInterrupt


def wake_main_thread() -> None:
    """Raise a KeyboardInterrupt in the main thread without the run being told to stop.

    It is the only way to one that waits inside a library. Whoever calls this must see to it that it is caught.
    """
    global _woken
    _woken = True
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _tell(number: int, frame: FrameType | None) -> None:
    global _told, _woken
    _told, _woken = _told or not _woken, False
    raise KeyboardInterrupt
