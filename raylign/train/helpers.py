"""Puts the actors that Ray Train runs beside its workers behind them, in a private cluster. This acts.

There are five, and one of Ray Data where training is the first to start it. Each wakes a hundred times a second,
whatever it is for. It takes a core from one thread of a step, and the others wait for that thread; at the lowest
priority its turn comes when a core has nothing better to do.
"""

from collections.abc import Sequence
from contextlib import suppress

import psutil

_LOWEST_PRIORITY = 19
_NOT_HELPERS = ("ray::RayTrainWorker", "ray::IDLE")
"""The workers themselves, and processes that may yet become anything."""


class Helpers:
    """What this process's own cluster starts from now on, beside the training workers.

    A cluster that was there before is no child of this process, and is left as it is.
    """

    def __init__(self) -> None:
        self.before = {process.pid for process in _cluster()}

    def put_last(self) -> None:
        """Give the lowest priority to those that run now."""
        for process in _cluster():
            with suppress(psutil.Error):  # it has ended
                if process.pid not in self.before and is_helper(process.cmdline()):
                    process.nice(_LOWEST_PRIORITY)


def is_helper(command: Sequence[str]) -> bool:
    """Whether a process of this command line is a Ray actor beside the training workers."""
    title = command[0] if command else ""
    return title.startswith("ray::") and not title.startswith(_NOT_HELPERS)


def _cluster() -> list[psutil.Process]:
    children: list[psutil.Process] = psutil.Process().children(recursive=True)
    return children
