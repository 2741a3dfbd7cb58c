"""How many requests one reviser actor keeps in flight, and completes, against a provider that answers in 200 ms.

Actor, provider and driver share the machine. Everything is on: the limiter, the journal with its fsync, the parser.

    python tests/benchmarks/reviser_throughput.py [--quick] [--out FILE.json]
"""

import time

from bench import ask, at_least, finish, local_ray, options, provider
from revising import revising

from raylign.config import ReviseConfig

IN_FLIGHT = 1000


def main() -> None:
    """One run."""
    arguments = options(__doc__)
    seconds = 10.0 if arguments.quick else 60.0
    revise = ReviseConfig(
        model="editor", actors_min=1, actors_max=1, requests_in_flight=IN_FLIGHT, requests_per_minute=10**7,
        tokens_per_minute=10**10, max_tokens=64,
    )  # fmt: skip
    in_flight = []
    with (
        local_ray(),
        provider(latency_seconds=0.2) as url,
        revising(url, revise, int(seconds * 1200) + 2000) as limiter,
    ):
        import ray

        while not ask(url, "/count")["arrivals"]:
            time.sleep(0.2)
        time.sleep(3.0)  # connections are made
        before = ask(url, "/count")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(2.0)
            in_flight.append(ray.get(limiter.report.remote()).in_flight)
        after = ask(url, "/count")
    rate = (after["served"]["ok"] - before["served"]["ok"]) / (after["now"] - before["now"])
    figures = [
        at_least("requests in flight, leased and not answered", sorted(in_flight)[len(in_flight) // 2], 500),
        at_least("requests a second", rate, 300),
    ]
    details = {"in_flight": in_flight, "most_at_the_provider": after["most_in_flight"], "served": after["served"]}
    finish(arguments, figures, details)


if __name__ == "__main__":
    main()
