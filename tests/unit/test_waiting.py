"""What a stage waits for reads as information: who waits, for what, and how much of that is free."""

import pytest

from raylign.revise.limiter import Ask, Figures, Limiter, Limits, Settlement
from raylign.waiting import ClusterFacts, cluster_words, overlap_words, reviser_words, serving_words


def test_a_placement_group_without_a_place_is_named_with_what_is_free() -> None:
    facts = ClusterFacts({"CPU": 8.0, "GPU": 1.0}, {"CPU": 3.0}, pending_groups=[{"GPU": 1.0, "CPU": 2.0}])
    assert cluster_words(facts) == "1 placement group waits for room (2 CPU and 1 GPU); free: 0 of 1 GPU, 3 of 8 CPU"


def test_a_cluster_without_the_gpu_that_is_asked_for_says_so() -> None:
    facts = ClusterFacts({"CPU": 8.0}, {"CPU": 3.0}, pending_groups=[{"GPU": 1.0}] * 2)
    assert cluster_words(facts) == "2 placement groups wait for room (1 GPU each); free: 0 of 0 GPU, 3 of 8 CPU"


def test_an_engine_that_loads_is_said_to_be_starting() -> None:
    facts = ClusterFacts({"CPU": 8.0}, {"CPU": 6.5}, pending_actors=["MapWorker(vLLM)", "MapWorker(vLLM)"])
    assert cluster_words(facts) == "2 actors are still starting (MapWorker(vLLM)); free: 6.5 of 8 CPU"


def test_nothing_to_start_is_nothing_to_say() -> None:
    assert cluster_words(ClusterFacts({"CPU": 8.0}, {"CPU": 8.0})) == ""
    assert serving_words({}) == ""
    assert serving_words({"LLMServer:base": ("HEALTHY", "")}) == ""


def test_the_deployment_that_does_not_run_is_named_with_its_message() -> None:
    said = serving_words(
        {"LLMServer:base": ("HEALTHY", ""), "LLMServer:aligned": ("UPDATING", "waiting for\n resources " + "x" * 300)}
    )
    assert said.startswith("at the endpoint, aligned is updating (waiting for resources xxx")
    assert len(said) < 220


def asked(limits: Limits, *, granted_before: int = 0, settlement: Settlement | None = None) -> Figures:
    """The figures after a request that had to wait."""
    limiter = Limiter(limits, now=0.0)
    limiter.lease([Ask(10, 0.5)] * granted_before, 0.0)
    if settlement:
        limiter.settle(settlement, 0.0)
    assert limiter.lease([Ask(10, 0.5)], 0.0).wait_seconds > 0
    return limiter.report()


@pytest.mark.parametrize(
    ("limits", "before", "settlement", "words"),
    [
        (Limits(60, 1e9), 1, None, "the request limit (revise.requests_per_minute"),
        (Limits(1e9, 600), 1, None, "the token limit (revise.tokens_per_minute"),
        (Limits(1e9, 1e9, in_flight=3), 3, None, "a place (revise.max_in_flight)"),
        (Limits(1e9, 1e9, max_usd=0.8), 1, None, "leave of revise.max_usd"),
        (Limits(1e9, 1e9), 1, Settlement(1, pause_seconds=30.0), "the pause that the endpoint asked for"),
    ],
)
def test_the_limit_that_requests_wait_for_is_named(
    limits: Limits, before: int, settlement: Settlement | None, words: str
) -> None:
    assert words in reviser_words(asked(limits, granted_before=before, settlement=settlement), limits.in_flight)


def test_a_granted_request_waits_for_nothing() -> None:
    limiter = Limiter(Limits(60, 1e9), now=0.0)
    limiter.lease([Ask(10)] * 2, 0.0)
    assert limiter.report().held_by == "requests"
    limiter.lease([Ask(10)], 5.0)
    assert limiter.report().held_by == ""
    assert reviser_words(limiter.report(), None) == "the reviser is still answering; 2 in flight, 0 answered so far"


def test_a_slow_reviser_is_told_from_one_whose_requests_all_failed() -> None:
    assert "still answering; 8 in flight" in reviser_words(Figures(sent=9, answered=1, in_flight=8), None)
    assert "wait for their next try" in reviser_words(Figures(sent=9, in_flight=0), None)
    assert reviser_words(Figures(), None) == ""
    refused = Figures(sent=9, in_flight=2, refused_for_rate=7, held_by="requests")
    assert reviser_words(refused, None).endswith("2 in flight, 0 answered so far, 7 refused for the rate")


def test_revisers_without_a_draft_wait_for_the_engines() -> None:
    idle = Limiter(Limits(60, 1e9), now=0.0).report()
    assert "the engines, which have made 40 of 100 drafts" in overlap_words(idle, None, drafted=40, total=100)
    assert overlap_words(idle, None, drafted=100, total=100) == reviser_words(idle, None)


def test_an_overlap_waits_for_the_reviser_while_requests_are_open() -> None:
    limiter = Limiter(Limits(60, 1e9), now=0.0)
    limiter.lease([Ask(10)], now=1.0)
    assert overlap_words(limiter.report(), None, 40, 100).startswith("the reviser is still answering; 1 in flight")
