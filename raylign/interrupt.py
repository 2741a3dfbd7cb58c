"""Ctrl-C and SIGTERM: raised at once, and once more at the next step where a library swallowed the first. This acts.

Some packages catch everything while they are imported, a KeyboardInterrupt too; a run that was told to stop must not go
on for hours because of that. Every step that a stage shows on the screen asks here.
"""

import signal
from types import FrameType

_told = False


def install() -> None:
    """From now on both signals raise KeyboardInterrupt in the main thread."""
    global _told
    _told = False
    signal.signal(signal.SIGINT, _tell)
    signal.signal(signal.SIGTERM, _tell)  # a polite kill stops as cleanly as Ctrl-C


def check() -> None:
    """Raise a KeyboardInterrupt where one was told and the program is still at work."""
    if _told:
        raise KeyboardInterrupt


def _tell(number: int, frame: FrameType | None) -> None:
    global _told
    _told = True
    raise KeyboardInterrupt
