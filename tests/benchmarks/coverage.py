"""How often the evaluation's 95% intervals hold the truth, over simulated evaluations whose truth is known.

Every kind of figure, from samples of ten rows to hundreds, clustered or not; the bar is 93 to 97% for each. A share of
1,000 simulations has a standard error of 0.7 points.

    python tests/benchmarks/coverage.py [--quick] [--out FILE.json] [--simulations 1000] [--seed 0] [--kind NAME ...]
"""

import argparse
import sys
from dataclasses import asdict
from typing import Any

from bench import Figure, finish, options

_LOW, _HIGH = 0.93, 0.97
_SIDES = {True: "equal", False: "unequal"}


def kinds() -> dict[str, Any]:
    """Every kind of figure at several sizes."""
    import interval_cases as cases

    found: dict[str, Any] = {}
    for count in (10, 20, 50, 200):
        found[f"{count} margins"] = cases.margins(count)
        found[f"{count} lengths"] = cases.lengths(count, 0.5)
        found[f"{count} lengths, extreme"] = cases.lengths(count, 1.0)
        found[f"change of {count} lengths"] = cases.change_of_lengths(count)
    for count in (20, 50, 200):
        found[f"share 1-10% of {count}"] = cases.share(count, 0.01, 0.1)
        found[f"share 10-50% of {count}"] = cases.share(count, 0.1, 0.5)
        found[f"paired shares, 0-5% differ, {count}"] = cases.paired_shares(count, 0.0, 0.05)
        found[f"paired shares, 10-40% differ, {count}"] = cases.paired_shares(count, 0.1, 0.4)
        found[f"win rate of {count}"] = cases.win_rate(count)
        found[f"length-controlled of {count}"] = cases.length_controlled_rate(count)
    for clusters in (5, 8, 12, 30):
        for equal, side in _SIDES.items():
            found[f"margins, {clusters} {side} clusters"] = cases.clustered_margins(clusters, equal)
            found[f"share 20%, {clusters} {side} clusters"] = cases.clustered_share(clusters, equal, 0.2)
            found[f"share 5%, {clusters} {side} clusters"] = cases.clustered_share(clusters, equal, 0.05)
    return found


def main() -> None:
    """Measure every kind."""
    from interval_cases import coverage

    arguments = options(__doc__, _add_own)
    simulations = 100 if arguments.quick else arguments.simulations
    figures, details = [], {}
    known = kinds()
    chosen = arguments.kind or list(known)
    if unknown := set(chosen) - known.keys():
        sys.exit(f"no kind {unknown.pop()!r}: there are {', '.join(known)}")
    for name in chosen:
        found = coverage(known[name], simulations, resamples=1000, seed=arguments.seed)
        figures.append(Figure(name, found.held, f"{_LOW:g}-{_HIGH:g}", _LOW <= found.held <= _HIGH))
        details[name] = asdict(found)
    finish(
        arguments, figures, {"simulations": simulations, "seed": arguments.seed, "resamples": 1000, "cases": details}
    )


def _add_own(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--simulations", type=int, default=1000, help="evaluations a case; default 1000")
    parser.add_argument("--seed", type=int, default=0, help="of what is simulated; default 0")
    parser.add_argument("--kind", action="append", help="measure this alone; may be given several times")


if __name__ == "__main__":
    main()
