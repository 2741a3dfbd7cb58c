"""A Ctrl-C that a library swallows still ends the run, at the next step it shows."""

import subprocess
import sys

SCRIPT = """
import io, os, signal, sys, time
from raylign import interrupt
from raylign.screen import Screen
interrupt.install()
try:
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    time.sleep(5)
except BaseException:
    pass  # as some packages do while they are imported
print("went on", flush=True)
with Screen(io.StringIO()).stage("sample") as progress:
    progress.update(0, 10, "starting engines")
    print("and on")
"""


def run(name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SCRIPT, name], capture_output=True, text=True, timeout=60)


def test_a_swallowed_signal_is_raised_again() -> None:
    for name in ("SIGINT", "SIGTERM"):
        ended = run(name)
        assert ended.stdout == "went on\n", ended.stderr
        assert "KeyboardInterrupt" in ended.stderr
        assert ended.returncode != 0


WOKEN = """
import threading, time
from raylign import interrupt
interrupt.install()
threading.Timer(0.5, interrupt.wake_main_thread).start()
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("woken")
interrupt.check()
print("and not told to stop")
"""


def test_a_main_thread_that_waits_can_be_woken_without_being_told_to_stop() -> None:
    ended = subprocess.run([sys.executable, "-c", WOKEN], capture_output=True, text=True, timeout=30)
    assert ended.stdout.splitlines() == ["woken", "and not told to stop"], ended.stderr
