"""Puts what Ray runs beside its training workers behind them, in a private cluster. This acts.

There are actors of Ray Train, and processes that watch for a dashboard. The actors wake a hundred times a second,
whatever they are for. Each takes a core from one thread of a step, and the others wait for that thread. As idle work
(SCHED_IDLE, sched(7)) they have a core when nothing else wants it, and wake half as often; the lowest priority did not
make them.
"""

import os
from collections.abc import Sequence
from contextlib import suppress

import psutil

_NOT_HELPERS = ("ray::RayTrainWorker", "ray::IDLE", "ray::RuntimeEnvAgent", "ray::_AutoscalingCoordinatorActor")
"""The workers themselves, processes that may yet become anything, what every new process waits for, and what Ray Data
needs in later stages: not every user may undo this."""
_OBSERVERS = ("ray::DashboardAgent", "/dashboard/dashboard.py", "/_private/monitor.py")
"""Parts of the command lines of those that only watch, for eyes that a private cluster has not."""


class Helpers:
    """What this process's own cluster has beside the training workers: observers, and actors it starts from now on.

    A cluster that was there before is no child of this process, and is left as it is.
    """

    def __init__(self) -> None:
        self.before = {process.pid for process in _cluster()}

    def put_last(self) -> None:
        """Make idle work of those that run now; elsewhere than on Linux nothing happens."""
        for process in _cluster():
            with suppress(psutil.Error):  # it has ended
                command = process.cmdline()
                if is_observer(command) or (process.pid not in self.before and is_helper(command)):
                    _make_idle(process)


def is_helper(command: Sequence[str]) -> bool:
    """Whether a process of this command line is a Ray actor beside the training workers."""
    title = command[0] if command else ""
    return title.startswith("ray::") and not title.startswith(_NOT_HELPERS)


def is_observer(command: Sequence[str]) -> bool:
    """Whether a process of this command line is one of Ray's that nothing waits for."""
    return any(part in argument for argument in command for part in _OBSERVERS)


def _make_idle(process: psutil.Process) -> None:
    if not hasattr(os, "SCHED_IDLE"):
        return
    for thread in process.threads():
        with suppress(OSError):  # it has ended
            os.sched_setscheduler(thread.id, os.SCHED_IDLE, os.sched_param(0))


def _cluster() -> list[psutil.Process]:
    children: list[psutil.Process] = psutil.Process().children(recursive=True)
    return children
