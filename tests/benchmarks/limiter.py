"""How much of a provider's limit eight reviser actors use, and how many calls it refuses.

The real pool asks the tests' provider, which refuses with 429 and Retry-After what is beyond its limit. Three runs:
the limit on requests binds; the limit on tokens binds; the provider halves its limit midway without a word.

    python tests/benchmarks/limiter.py [--quick] [--out FILE.json]
"""

import time
from typing import Any

from bench import Figure, ask, at_least, at_most, finish, local_ray, options, provider
from revising import revising

from raylign.config import ReviseConfig

ACTORS = 8
START_SECONDS = 20.0
REQUESTS_PER_MINUTE = 3000
TOKENS_PER_MINUTE = 150_000
"""Of the provider's own count, words: about 2,100 requests."""


def configuration(requests_per_minute: int, tokens_per_minute: int) -> ReviseConfig:
    """Eight actors; what a request may take is far above what it takes, as with real prompts."""
    return ReviseConfig(
        model="editor", base_url="http://", actors_min=ACTORS, actors_max=ACTORS, requests_in_flight=64,
        requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, max_tokens=64,
    )  # fmt: skip


def wait_for_start(url: str) -> float:
    """When all actors are at work, on the provider's clock: a while after its first call, as they start in turn."""
    while not (accepted := ask(url, "/count")["accepted"]):
        time.sleep(0.2)
    time.sleep(START_SECONDS)
    return float(accepted[0][0]) + START_SECONDS


def used(count: dict[str, Any], start: float, seconds: float, column: int | None) -> float:
    """Calls (or tokens) a minute that were accepted from `start` on for so long."""
    rows = [row for row in count["accepted"] if start <= row[0] < start + seconds]
    return (len(rows) if column is None else sum(row[column] for row in rows)) / seconds * 60


def bound_by(kind: str, seconds: float) -> tuple[list[Figure], dict[str, Any]]:
    """One limit binds for the whole run, and raylign knows it."""
    by_requests = kind == "requests"
    limit = REQUESTS_PER_MINUTE if by_requests else TOKENS_PER_MINUTE
    limits = {f"{kind}_per_minute": limit}
    revise = configuration(limit if by_requests else 10**6, 10**8 if by_requests else limit)
    with provider(latency_seconds=0.2, burst=limit / 60, **limits) as url:
        drafts = int((seconds + START_SECONDS) / 60 * (limit if by_requests else limit / 40) * 1.3) + 500
        with revising(url, revise, drafts):
            start = wait_for_start(url)
            time.sleep(seconds)
            count = ask(url, "/count")
    share = used(count, start, seconds, None if by_requests else 1) / limit
    refused = count["served"].get("429", 0) / count["arrivals"]
    figures = [
        at_least(f"{kind} bind: share of the limit used", share, 0.95),
        at_most(f"{kind} bind: share of calls refused", refused, 0.001),
    ]
    return figures, {"served": count["served"], "limit": limit, "seconds": seconds}


def halved(seconds: float) -> tuple[list[Figure], dict[str, Any]]:
    """The provider halves its limit without saying so; raylign only sees refusals."""
    revise = configuration(REQUESTS_PER_MINUTE, 10**8)
    drafts = int(REQUESTS_PER_MINUTE * (3 * seconds + START_SECONDS) / 60 * 1.2) + 500
    server = provider(latency_seconds=0.2, burst=REQUESTS_PER_MINUTE / 60, requests_per_minute=REQUESTS_PER_MINUTE)
    with server as url, revising(url, revise, drafts):
        wait_for_start(url)
        time.sleep(seconds)
        at = ask(url, "/limits", {"requests_per_minute": REQUESTS_PER_MINUTE / 2})["at"]
        time.sleep(2 * seconds)
        count = ask(url, "/count")
    curve = [used(count, at + start, 5.0, None) / (REQUESTS_PER_MINUTE / 2) for start in range(0, int(2 * seconds), 5)]
    share = used(count, at + seconds, seconds, None) / (REQUESTS_PER_MINUTE / 2)
    name = f"limit halved: share of the new one used, {seconds:g} to {2 * seconds:g} s after"
    return [at_least(name, share, 0.9)], {"served": count["served"], "share_every_5_seconds": curve}


def main() -> None:
    """Three runs of the pool."""
    arguments = options(__doc__)
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    with local_ray():
        for kind in ("requests", "tokens"):
            found, details[kind] = bound_by(kind, 15.0 if arguments.quick else 120.0)
            figures += found
        found, details["halved"] = halved(10.0 if arguments.quick else 30.0)
    finish(arguments, figures + found, details)


if __name__ == "__main__":
    main()
