"""The `raylign` command: it does what its arguments say, and turns errors into one line and an exit code."""

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from raylign import interrupt
from raylign.arguments import parse
from raylign.errors import find_raylign_error

_STOPPED = 130  # what a shell reports for a program ended by Ctrl-C


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; returns the exit code.

    0 done, 1 a fault of raylign's own, 2 mend the input, 3 not promoted (`promote --require`), 130 stopped.
    """
    options = parse(sys.argv[1:] if arguments is None else arguments)
    interrupt.install()
    try:
        command: Callable[[argparse.Namespace], int | None] = options.command
        return command(options) or 0
    except KeyboardInterrupt:
        print("raylign: stopped; the same command goes on from here", file=sys.stderr)
        return _STOPPED
    except Exception as error:
        known = find_raylign_error(error)
        if known is None:
            _report_fault(error, getattr(options, "out", None))
            return 1
        print(f"raylign: error: {' '.join(str(known).split())}", file=sys.stderr)
        return known.exit_code


def _report_fault(error: BaseException, out: Path | None) -> None:
    """Say in one line what broke; the traceback goes to the run's log where there is one."""
    text = "".join(traceback.format_exception(error))
    first = (str(error).strip().splitlines() or [""])[0]
    log = out / "logs" / "fault.txt" if out is not None and (out / "logs").is_dir() else None
    if log is None:
        print(text, file=sys.stderr, end="")
    else:
        log.write_text(text, encoding="utf-8")
    where = f" (traceback in {log}; what components printed, in {log.parent})" if log else ""
    print(f"raylign: fault: {type(error).__name__}: {first[:300]}{where}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
