"""What a stage waits for, in words, from what the cluster, the limiter and the served endpoint say. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raylign.revise.limiter import Figures

_LONGEST_MESSAGE = 160


@dataclass(frozen=True)
class ClusterFacts:
    """What a Ray cluster holds and what in it is not there yet."""

    total: Mapping[str, float]
    free: Mapping[str, float]
    pending_groups: Sequence[Mapping[str, float]] = ()
    """Resources of each placement group that has no place."""
    pending_actors: Sequence[str] = ()
    """Class names of actors that have not started: they wait for a place, or are on the way."""


def cluster_words(facts: ClusterFacts) -> str:
    """What the cluster is still to start; empty where everything runs."""
    if facts.pending_groups:
        count, first = len(facts.pending_groups), facts.pending_groups[0]
        wanted = " and ".join(f"{amount:g} {name}" for name, amount in sorted(first.items()) if amount)
        groups = "1 placement group waits" if count == 1 else f"{count} placement groups wait"
        return f"{groups} for room ({wanted}{' each' if count > 1 else ''}); {_free(facts)}"
    if facts.pending_actors:
        count = len(facts.pending_actors)
        kinds = ", ".join(sorted(set(facts.pending_actors)))
        return f"{count} {'actor is' if count == 1 else 'actors are'} still starting ({kinds}); {_free(facts)}"
    return ""


def _free(facts: ClusterFacts) -> str:
    """`free: 0 of 1 GPU, 3 of 8 CPU`; a cluster that has no GPU says so."""
    names = ("GPU", "CPU") if facts.total.get("GPU") or _wanted(facts, "GPU") else ("CPU",)
    return "free: " + ", ".join(f"{facts.free.get(name, 0):g} of {facts.total.get(name, 0):g} {name}" for name in names)


def _wanted(facts: ClusterFacts, name: str) -> bool:
    return any(group.get(name) for group in facts.pending_groups)


def serving_words(deployments: Mapping[str, tuple[str, str]]) -> str:
    """Which deployments of the endpoint do not run yet, by name: (status, message); empty where all are healthy."""
    waiting = [
        f"{name.rpartition(':')[2]} is {status.lower()}{f' ({_short(message)})' if message else ''}"
        for name, (status, message) in deployments.items()
        if status != "HEALTHY"
    ]
    return f"at the endpoint, {'; '.join(waiting)}" if waiting else ""


def reviser_words(figures: Figures, max_in_flight: int | None, section: str = "revise") -> str:
    """What the limiter's figures say that requests wait for; `section` is the configuration's that sets its limits."""
    if figures.held_by:
        return f"requests wait for {_HELD[figures.held_by].format(section)}; {_flight(figures)}"
    if max_in_flight is not None and figures.in_flight >= max_in_flight:
        return f"all {max_in_flight} places of {section}.max_in_flight are taken; {_flight(figures)}"
    if figures.in_flight:
        who = "reviser" if section == "revise" else "endpoint"
        return f"the {who} is still answering; {_flight(figures)}"
    return "no request is on its way: those that failed wait for their next try" if figures.sent else ""


def overlap_words(figures: Figures, max_in_flight: int | None, drafted: int, total: int) -> str:
    """What sampling and revising at once wait for: where no request is open, it is the engines' next drafts."""
    if figures.held_by or figures.in_flight or drafted >= total:
        return reviser_words(figures, max_in_flight)
    return f"the engines, which have made {drafted} of {total} drafts; none of these waits for the reviser"


_HELD = {
    "pause": "the pause that the endpoint asked for",
    "requests": "the request limit ({}.requests_per_minute, or what the endpoint states)",
    "tokens": "the token limit ({}.tokens_per_minute, or what the endpoint states)",
    "places": "a place ({}.max_in_flight)",
    "budget": "what others in flight leave of {}.max_usd",
}


def _flight(figures: Figures) -> str:
    words = f"{figures.in_flight} in flight, {figures.answered} answered so far"
    return f"{words}, {figures.refused_for_rate} refused for the rate" if figures.refused_for_rate else words


def _short(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"
