"""What a run takes, by hand: tokens, dollars, hours, and the limit that makes it take so long."""

from dataclasses import replace

import pytest

from raylign.config import LoopConfig
from raylign.plan.estimate import Capacity, Plan, Row, Speed, capacity_of, longest, make_plan, verdict
from raylign.plan.totals import Frame, Range

ROW = Row(request_bytes=400, answer_tokens=50, calls=1, prompt_tokens=200, reply_tokens=100, place_seconds=6.0)
FRAME = Frame(prompts=1000, request_bytes=400_000)
SPEED = Speed(30.0, 25.0, 10.0, 40.0)
CAPACITY = Capacity(
    requests_per_minute=1e9,
    tokens_per_minute=1e9,
    places=10**6,
    engines=2,
    gpus_per_engine=1,
    replicas=0,
    gpus_per_replica=0,
    usd_per_prompt_token=10 / 1e6,
    usd_per_reply_token=30 / 1e6,
    max_usd=None,
)


def plan(capacity: Capacity = CAPACITY, row: Row = ROW, speed: Speed = SPEED) -> Plan:
    """Of sixteen rows that are all alike, so that every figure but the requests has no spread."""
    return make_plan([row] * 16, FRAME, speed, capacity)


def test_tokens_and_dollars() -> None:
    """1,000 × (200 × $10 + 100 × $30) / 10⁶ = $5."""
    found = plan()
    assert (found.answer_tokens.value, found.prompt_tokens.value, found.reply_tokens.value) == (50e3, 200e3, 100e3)
    assert found.calls.value == 1000
    assert found.usd is not None
    assert found.usd.value == pytest.approx(5.0)


def test_without_prices_there_are_no_dollars() -> None:
    assert plan(replace(CAPACITY, usd_per_reply_token=None)).usd is None


def test_sampling_time_and_gpu_hours() -> None:
    """50,000 tokens at 2 × 25 a second take 1,000 s; 30 s of start before it, on 2 GPUs: 2 × 1,030 / 3,600 h."""
    found = plan()
    assert found.sample is not None
    assert found.gpu_hours is not None
    assert found.sample.seconds.value == pytest.approx(1030)
    assert "sample.engines_max=2" in found.sample.bound_by
    assert found.gpu_hours.value == pytest.approx(2 * 1030 / 3600)


@pytest.mark.parametrize(
    ("limit", "seconds", "named"),
    [
        ({"requests_per_minute": 100.0}, 600, "revise.requests_per_minute=100"),
        ({"tokens_per_minute": 20_000.0}, 900, "revise.tokens_per_minute=20000"),
        ({"places": 4}, 1500, "4 places"),
    ],
)
def test_the_limit_that_binds_is_named(limit: dict[str, float], seconds: float, named: str) -> None:
    """1,000 requests at 100 a minute; 300,000 tokens at 20,000 a minute; 1,000 × 6 s in 4 places."""
    found = plan(replace(CAPACITY, **limit)).revise
    assert found is not None
    assert named in found.bound_by
    assert found.seconds.value == pytest.approx(10 + seconds)


def test_of_several_limits_the_slowest_binds() -> None:
    found = plan(replace(CAPACITY, requests_per_minute=100.0, tokens_per_minute=20_000.0, places=40)).revise
    assert found is not None
    assert "tokens a minute" in found.bound_by
    assert sorted(each.value for each in found.alone.values()) == pytest.approx([150, 600, 900])


def test_a_reviser_of_our_own_is_limited_by_its_replicas_and_holds_their_gpus() -> None:
    """100,000 reply tokens at 2 × 40 a second: 1,250 s and 10 s of start, on 2 × 4 GPUs beside the sampling."""
    found = plan(replace(CAPACITY, replicas=2, gpus_per_replica=4))
    assert found.revise is not None
    assert found.gpu_hours is not None
    assert "serve.replicas_max=2" in found.revise.bound_by
    assert found.revise.seconds.value == pytest.approx(1260)
    assert found.gpu_hours.value == pytest.approx((2 * 1030 + 8 * 1260) / 3600)


def test_a_speed_that_was_not_seen_makes_no_figure() -> None:
    found = plan(speed=replace(SPEED, answer_tokens_per_second=None))
    assert found.sample is None
    assert found.gpu_hours is None


def test_the_interval_of_the_time_is_that_of_the_limit_that_may_bind() -> None:
    """The first limit makes it 80 to 120 s, the second 70 to 150: it takes at least 80, and 150 at most."""
    found = longest(5.0, {"first": Range(100, 80, 120), "second": Range(90, 70, 150)})
    assert found.seconds == Range(105, 85, 155)
    assert found.bound_by == "first"


def test_requests_that_need_more_tries_take_longer() -> None:
    found = plan(replace(CAPACITY, requests_per_minute=100.0), replace(ROW, calls=2))
    assert found.revise is not None
    assert found.revise.seconds.value == pytest.approx(10 + 1200)


def test_the_budget_is_judged_by_the_whole_interval() -> None:
    cost = Range(10.0, 8.0, 12.0)
    assert verdict(cost, 12.0) == "fits"
    assert verdict(cost, 11.0) == "may not fit"
    assert verdict(cost, 9.0) == "does not fit"
    assert verdict(cost, None) is None
    assert verdict(None, 5.0) is None


def test_places_are_those_of_all_actors_or_the_limit_on_them() -> None:
    config = LoopConfig()
    config.revise.base_url, config.revise.actors_max, config.revise.requests_in_flight = "http://x/v1", 4, 32
    assert capacity_of(config).places == 128
    config.revise.max_in_flight = 50
    assert capacity_of(config).places == 50
    assert capacity_of(config).replicas == 0
    config.revise.base_url = None
    assert capacity_of(config).replicas == config.serve.replicas_max
