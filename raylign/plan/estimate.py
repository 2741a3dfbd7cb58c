"""What a whole run takes, from what a sample of its prompts took and what the configuration allows. Pure.

Each quantity is a total over all prompts (`totals`). A stage's time is the longest that any one limit makes it: at a
rate limit all requests take requests ÷ rate, and through a number of places they take (Σ seconds in a place) ÷ places,
which is Little's law (L = λ·W: Operations Research 9, 1961) with every place taken.
"""

from dataclasses import dataclass
from typing import Literal

from raylign.config import LoopConfig
from raylign.plan.totals import Frame, Range, Total, count_interval, estimate_total, interval

Verdict = Literal["fits", "may not fit", "does not fit"]


@dataclass(frozen=True)
class Row:
    """What one sampled prompt took; a draft that failed or is empty was never sent to the reviser."""

    request_bytes: int
    """UTF-8 bytes of its request to the reviser, the draft apart."""
    answer_tokens: int
    calls: int
    prompt_tokens: int
    reply_tokens: int
    place_seconds: float
    """How long its requests held a place."""


@dataclass(frozen=True)
class Speed:
    """What the sample showed of time; None where it was not seen, as in a plan taken up after a stop."""

    sample_start_seconds: float
    """Until an engine generated."""
    answer_tokens_per_second: float | None
    """One sampling engine's."""
    revise_start_seconds: float
    """Until the first request was sent."""
    reply_tokens_per_second: float | None
    """One replica's, of a reviser that the run serves itself."""


@dataclass(frozen=True)
class Capacity:
    """What the configuration allows at once."""

    requests_per_minute: float
    tokens_per_minute: float
    places: int
    """Requests in flight, of all reviser actors."""
    engines: int
    gpus_per_engine: int
    replicas: int
    """Of a reviser that the run serves itself; 0 where it has an endpoint."""
    gpus_per_replica: int
    usd_per_prompt_token: float | None
    usd_per_reply_token: float | None
    max_usd: float | None


@dataclass(frozen=True)
class StageTime:
    """How long a stage takes, and which limit makes it take so long."""

    seconds: Range
    bound_by: str
    """The limit with its value; empty where no time could be told."""
    alone: dict[str, Range]
    """Seconds that each limit alone would make of it, the start apart."""


@dataclass(frozen=True)
class Plan:
    """What the run takes."""

    prompts: int
    sampled: int
    answer_tokens: Range
    calls: Range
    prompt_tokens: Range
    reply_tokens: Range
    usd: Range | None
    """None where no prices are configured."""
    engine_hours: Range | None
    """Of sampling engines, and of replicas where the run serves its reviser."""
    gpu_hours: Range | None
    sample: StageTime | None
    revise: StageTime | None
    by_size: tuple[str, ...]
    """The quantities that follow the size of the request, which is known of all prompts."""
    budget: Verdict | None
    """Whether it stays within `revise.max_usd`; None where there is none."""


def capacity_of(config: LoopConfig) -> Capacity:
    """What this configuration allows at once."""
    revise, served = config.revise, config.revise.base_url is None
    prices = (revise.usd_per_million_prompt_tokens, revise.usd_per_million_reply_tokens)
    places = revise.requests_in_flight * revise.actors_max
    return Capacity(
        requests_per_minute=revise.requests_per_minute,
        tokens_per_minute=revise.tokens_per_minute,
        places=min(places, revise.max_in_flight or places),
        engines=config.sample.engines_max,
        gpus_per_engine=config.sample.gpus_per_engine,
        replicas=config.serve.replicas_max if served else 0,
        gpus_per_replica=config.serve.gpus_per_replica,
        usd_per_prompt_token=None if prices[0] is None else prices[0] / 1e6,
        usd_per_reply_token=None if prices[1] is None else prices[1] / 1e6,
        max_usd=revise.max_usd,
    )


def make_plan(rows: list[Row], frame: Frame, speed: Speed, capacity: Capacity, seed: int = 0) -> Plan:
    """The plan by a random sample of the prompts; `seed` is that of the bootstrap."""
    sizes = [row.request_bytes for row in rows]
    totals = {
        name: estimate_total([getattr(row, name) for row in rows], sizes, frame)
        for name in ("answer_tokens", "prompt_tokens", "reply_tokens", "place_seconds")
    }
    ranges = {name: interval(total, frame, seed) for name, total in totals.items()}
    all_tokens = interval(totals["prompt_tokens"] + totals["reply_tokens"], frame, seed)
    calls = count_interval([row.calls for row in rows], frame, seed)
    usd = _usd(totals, frame, capacity, seed)
    sample = _sample_time(ranges["answer_tokens"], speed, capacity)
    revise = _revise_time(calls, all_tokens, ranges, speed, capacity)
    return Plan(
        prompts=frame.prompts,
        sampled=len(rows),
        answer_tokens=ranges["answer_tokens"],
        calls=calls,
        prompt_tokens=ranges["prompt_tokens"],
        reply_tokens=ranges["reply_tokens"],
        usd=usd,
        engine_hours=_engine_hours(sample, revise, capacity, (1, 1)),
        gpu_hours=_engine_hours(sample, revise, capacity, (capacity.gpus_per_engine, capacity.gpus_per_replica)),
        sample=sample,
        revise=revise,
        by_size=tuple(name for name, total in totals.items() if total.by_size),
        budget=verdict(usd, capacity.max_usd),
    )


def verdict(usd: Range | None, max_usd: float | None) -> Verdict | None:
    """Whether a cost stays within a cap: by its whole interval, by its estimate only, or not."""
    if usd is None or max_usd is None:
        return None
    if usd.high <= max_usd:
        return "fits"
    return "may not fit" if usd.value <= max_usd else "does not fit"


def longest(start_seconds: float, alone: dict[str, Range]) -> StageTime:
    """The time of a stage under several limits, each of which alone would make it take so long after its start."""
    name, _ = max(alone.items(), key=lambda item: item[1].value)
    after = Range(
        max(each.value for each in alone.values()),
        max(each.low for each in alone.values()),
        max(each.high for each in alone.values()),
    )
    return StageTime(after.plus(start_seconds), name, alone)


def _usd(totals: dict[str, Total], frame: Frame, capacity: Capacity, seed: int) -> Range | None:
    if capacity.usd_per_prompt_token is None or capacity.usd_per_reply_token is None:
        return None
    prompts = totals["prompt_tokens"].times(capacity.usd_per_prompt_token)
    return interval(prompts + totals["reply_tokens"].times(capacity.usd_per_reply_token), frame, seed)


def _sample_time(answer_tokens: Range, speed: Speed, capacity: Capacity) -> StageTime | None:
    if not speed.answer_tokens_per_second:
        return None
    alone = answer_tokens.times(1 / (speed.answer_tokens_per_second * capacity.engines))
    return longest(speed.sample_start_seconds, {f"engines (sample.engines_max={capacity.engines})": alone})


def _revise_time(
    calls: Range, all_tokens: Range, ranges: dict[str, Range], speed: Speed, capacity: Capacity
) -> StageTime | None:
    alone = {
        f"requests a minute (revise.requests_per_minute={capacity.requests_per_minute:g})": calls.times(
            60 / capacity.requests_per_minute
        ),
        f"tokens a minute (revise.tokens_per_minute={capacity.tokens_per_minute:g})": all_tokens.times(
            60 / capacity.tokens_per_minute
        ),
    }
    if not capacity.replicas:
        alone[f"requests in flight ({capacity.places} places)"] = ranges["place_seconds"].times(1 / capacity.places)
    elif speed.reply_tokens_per_second:
        per_second = speed.reply_tokens_per_second * capacity.replicas
        alone[f"replicas of the reviser (serve.replicas_max={capacity.replicas})"] = ranges["reply_tokens"].times(
            1 / per_second
        )
    else:
        return None
    return longest(speed.revise_start_seconds, alone)


def _engine_hours(
    sample: StageTime | None, revise: StageTime | None, capacity: Capacity, weights: tuple[int, int]
) -> Range | None:
    """Hours that engines are held, each times its weight: sampling engines, then the reviser's replicas."""
    if sample is None or (capacity.replicas and revise is None):
        return None
    hours = sample.seconds.times(capacity.engines * weights[0] / 3600)
    if revise is not None and capacity.replicas:
        hours = hours.plus(revise.seconds.times(capacity.replicas * weights[1] / 3600))
    return hours
