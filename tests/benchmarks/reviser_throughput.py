"""How many requests a second one reviser actor completes, and how many it keeps in flight.

The provider answers after 200 ms: the rate that actor, provider and driver reach together on this machine. At that
rate some ninety requests are with the provider at any time, whatever else an actor has leased; so a second run, in
which it answers after two seconds, counts those that it has before it at once. Everything is on: the limiter, the
journal with its fsync, the parser.

    python tests/benchmarks/reviser_throughput.py [--quick] [--out FILE.json]
"""

import statistics
import time
from typing import Any

from bench import ask, at_least, finish, local_ray, options, provider
from revising import revising

from raylign.config import ReviseConfig

IN_FLIGHT = 1000
QUICK_REPLY, SLOW_REPLY = 0.2, 2.0


def run(latency_seconds: float, seconds: float) -> dict[str, Any]:
    """One actor against one provider for so long; medians over the time."""
    import ray

    revise = ReviseConfig(
        model="editor", actors_min=1, actors_max=1, requests_in_flight=IN_FLIGHT, requests_per_minute=10**7,
        tokens_per_minute=10**10, max_tokens=64,
    )  # fmt: skip
    leased, with_provider = [], []
    with provider(latency_seconds=latency_seconds) as url, revising(url, revise, int(seconds * 1200) + 4000) as limiter:
        while not ask(url, "/count")["arrivals"]:
            time.sleep(0.2)
        time.sleep(3.0 + latency_seconds)  # connections are made
        before = ask(url, "/count")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(2.0)
            leased.append(ray.get(limiter.report.remote()).in_flight)
            after = ask(url, "/count")
            with_provider.append(after["in_flight"])
    return {
        "rate": (after["served"]["ok"] - before["served"]["ok"]) / (after["now"] - before["now"]),
        "leased": statistics.median(leased),
        "with_provider": statistics.median(with_provider),
        "served": after["served"],
    }


def main() -> None:
    """Both runs."""
    arguments = options(__doc__)
    seconds = 10.0 if arguments.quick else 60.0
    with local_ray():
        quick, slow = run(QUICK_REPLY, seconds), run(SLOW_REPLY, seconds)
    figures = [
        at_least("replies after 0.2 s: requests a second", quick["rate"], 300),
        at_least("replies after 0.2 s: leased and not answered", quick["leased"], 500),
        at_least("replies after 2 s: with the provider at once", slow["with_provider"], 500),
        at_least("replies after 2 s: requests a second", slow["rate"], 300),
    ]
    finish(arguments, figures, {"after_200_ms": quick, "after_2_s": slow})


if __name__ == "__main__":
    main()
