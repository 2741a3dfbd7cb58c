"""What every benchmark shares: options, a provider and a Ray of its own, the table with its bars, and the JSON."""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # benchmarks share the tests' rows
_MEASURED = ("raylign", "tests", ":!tests/benchmarks/results")
"""What a figure is of: all code, but no results that lie beside it."""
_PACKAGES = ("ray", "torch", "transformers", "deepspeed", "openai", "pyarrow", "numpy")


@dataclass(frozen=True)
class Figure:
    """One measured value against its bar."""

    name: str
    value: float
    bar: str
    """As people read it: `≥ 0.95`."""
    met: bool


Part = tuple[list[Figure], dict[str, Any]]
"""What a part of a benchmark gives: its figures, and details for the JSON."""


def at_least(name: str, value: float, bar: float) -> Figure:
    """A value that must not be lower."""
    return Figure(name, value, f"≥ {bar:g}", value >= bar)


def at_most(name: str, value: float, bar: float) -> Figure:
    """A value that must not be higher."""
    return Figure(name, value, f"≤ {bar:g}", value <= bar)


def options(
    description: str | None, add_own: Callable[[argparse.ArgumentParser], object] = lambda parser: None
) -> argparse.Namespace:
    """`--quick` for a run that only shows that it works, `--out` for the JSON, and what a benchmark adds of its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run; its figures are not the benchmark's")
    parser.add_argument("--out", type=Path, help="where to write figures, hardware, versions and commit as JSON")
    add_own(parser)
    return parser.parse_args()


Turn = dict[str, dict[str, Any]]
"""What each side of a comparison gave, one after the other."""


def in_turn(sides: Sequence[str], repetitions: int, measure: Callable[[str], dict[str, Any]]) -> list[Turn]:
    """Measure every side so many times, each going first in turn.

    The host's own speed changes within minutes, so a side is to be compared with its neighbour in the same turn.
    """
    orders = [list(sides) if number % 2 == 0 else list(sides)[::-1] for number in range(repetitions)]
    return [{side: measure(side) for side in order} for order in orders]


def medians(turns: Sequence[Turn], name: str) -> dict[str, float]:
    """The median of one value by side."""
    return {side: statistics.median(turn[side][name] for turn in turns) for side in turns[0]}


def add_part(parser: argparse.ArgumentParser) -> None:
    """The option of a benchmark whose parts can be measured alone."""
    parser.add_argument("--part", action="append", help="measure this alone; may be given several times")


def measure_parts(arguments: argparse.Namespace, known: Mapping[str, Callable[[], Part]]) -> Part:
    """The parts that `--part` names, or all of them; each one's table is printed as soon as it is there."""
    chosen = arguments.part or list(known)
    if unknown := set(chosen) - known.keys():
        sys.exit(f"no part {unknown.pop()!r}: there are {', '.join(known)}")
    figures: list[Figure] = []
    details: dict[str, Any] = {"parts": chosen}
    for name in chosen:
        found, more = known[name]()
        if len(chosen) > 1:  # at the end all are shown once more
            show(found)
        figures += found
        details |= more
    return figures, details


def show(figures: Sequence[Figure]) -> None:
    """A table of figures and their bars."""
    width = max((len(figure.name) for figure in figures), default=0)
    for figure in figures:
        verdict = "met" if figure.met else "MISSED"
        print(f"{figure.name:<{width}}  {figure.value:>12.4g}  {figure.bar:>9}  {verdict}", flush=True)


def finish(arguments: argparse.Namespace, figures: Sequence[Figure], details: dict[str, Any]) -> None:
    """Print the table, write the JSON, and end with 1 where a bar was missed."""
    show(figures)
    if arguments.out:
        record = {
            "benchmark": Path(sys.argv[0]).stem,
            "quick": arguments.quick,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "figures": [asdict(figure) for figure in figures],
            "details": details,
            "hardware": {"cpu": _processor(), "cores": os.cpu_count(), "machine": platform.machine()},
            "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
            "commit": _git("rev-parse", "HEAD"),
            "changed_since": bool(_git("status", "--porcelain", "--", *_MEASURED)),
        }
        arguments.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if arguments.quick or all(figure.met for figure in figures) else 1)


@contextmanager
def provider(**settings: object) -> Iterator[str]:
    """The tests' chat provider as a process of its own; yields its base URL."""
    command = [sys.executable, str(ROOT / "tests" / "provider.py")]
    for name, value in settings.items():
        command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def ask(url: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The provider's own answer at `/count` or `/limits`."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url.removesuffix("/v1") + path, data) as answer:
        result: dict[str, Any] = json.load(answer)
    return result


@contextmanager
def local_ray(cpus: int = 8) -> Iterator[None]:
    """A private local Ray."""
    import ray

    from raylign.session import prepare_environment

    folder = tempfile.mkdtemp(prefix="rb-", dir="/tmp")
    prepare_environment()
    ray.init(
        num_cpus=cpus,
        include_dashboard=False,
        _temp_dir=folder,
        log_to_driver=False,
        logging_level="WARNING",
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    try:
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
