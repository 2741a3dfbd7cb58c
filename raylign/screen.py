"""What a person sees while a stage works: a bar on a terminal, plain lines elsewhere, noise in log files.

`Screen.quieten` moves the process's own standard output and error into a log file for as long as third-party
components print there, and keeps the person's screen on a duplicate.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from raylign import interrupt
from raylign.time_left import TimeLeft
from raylign.watchdog import Watchdog

SECONDS_BETWEEN_LINES = 15.0


def _nothing_known() -> str:
    return ""


class StageProgress:
    """How far one stage has come, and since when it has come no further."""

    def __init__(
        self, screen: "Screen", name: str, unit: str = "", waits_for: Callable[[], str] = _nothing_known
    ) -> None:
        self.screen = screen
        self.name = name
        self.unit = unit
        self.waits_for = waits_for
        """Asked by the watchdog; a stage that learns more on the way replaces it."""
        self.done = 0
        self.note = ""
        self.time_left = TimeLeft()
        self.started = time.monotonic()
        self.line_at = self.changed_at = self.started
        self.bar: Progress | None = None
        if screen.console.is_terminal:
            columns = (
                TextColumn("{task.description:<10}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                # The words take what room is left, and no more: they must not push the counts off a narrow terminal.
                TextColumn("{task.fields[note]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            )
            self.bar = Progress(*columns, console=screen.console, transient=True, expand=True)
            self.task = self.bar.add_task(name, total=None, note="")
            self.bar.start()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Say how much of the work is done; `note` is a few words of what matters now.

        Raises:
            KeyboardInterrupt: the run was told to stop, and some library did not hand that on.
        """
        interrupt.check()
        now = time.monotonic()
        if (done, note) != (self.done, self.note):
            self.done, self.note, self.changed_at = done, note, now
        # First, where a narrow terminal does not cut it off; and apart from the note, which is what the watchdog
        # takes for a sign of life.
        words = ", ".join(filter(None, (self.time_left.words(done, total, now), note)))
        if self.bar is not None:
            self.bar.update(self.task, completed=done, total=total, note=words)
        elif now - self.line_at >= SECONDS_BETWEEN_LINES:
            self.line_at = now
            self.screen.say(f"{self.name:<10} {done}/{total} {words}".rstrip())

    def close(self) -> None:
        """Take the bar off the screen."""
        if self.bar is not None:
            self.bar.stop()


class Screen:
    """A person's terminal, or the file their output goes to."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self.console = Console(file=stream or sys.stdout, highlight=False, soft_wrap=True, markup=False)

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text)

    @contextmanager
    def stage(
        self, name: str, unit: str = "", waits_for: Callable[[], str] = _nothing_known
    ) -> Iterator[StageProgress]:
        """Show a stage's progress while the block runs, and say so when there is none for a while.

        Args:
            unit: What is counted, such as `draft`.
            waits_for: What the stage waits for right now, in a few words; called from another thread.
        """
        progress = StageProgress(self, name, unit, waits_for)
        watchdog = Watchdog(progress, self.say)
        watchdog.start()
        try:
            yield progress
        finally:
            watchdog.stop()
            progress.close()

    @classmethod
    @contextmanager
    def quieten(cls, log: Path) -> Iterator["Screen"]:
        """Send everything this process and its children print to `log`; yields the screen that still speaks."""
        sys.stdout.flush()
        sys.stderr.flush()
        kept_out, kept_error = os.dup(1), os.dup(2)
        with log.open("ab") as file, os.fdopen(os.dup(kept_out), "w", buffering=1) as stream:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            try:
                yield cls(stream)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os.dup2(kept_out, 1)
                os.dup2(kept_error, 2)
                os.close(kept_out)
                os.close(kept_error)
