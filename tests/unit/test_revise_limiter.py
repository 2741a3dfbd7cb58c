"""The limiter: limits hold in every minute and are used in full, pauses are kept, money is never overspent."""

import random

import pytest

from raylign.records import Message
from raylign.revise.headers import StatedLimits
from raylign.revise.limiter import UNANSWERED_IN_A_ROW, Ask, Limiter, Limits, Settlement, estimate_tokens

PLENTY = 10**9


def limiter(requests: float = PLENTY, tokens: float = PLENTY, fresh: bool = True, **more: float | None) -> Limiter:
    return Limiter(Limits(requests, tokens, **more), 0.0, fresh=fresh)  # type: ignore[arg-type]


def grants(rule: Limiter, tokens: int, until: float, used: int | None = None, batch: int = 1) -> list[float]:
    """Times at which a caller that always wants more is let through, asking again exactly when told to.

    With `used`, every request ends at once and took so many tokens.
    """
    now, times = 0.0, []
    while now < until:
        grant = rule.lease([Ask(tokens)] * batch, now)
        times += [now] * len(grant.leases)
        if used is not None:
            for lease in grant.leases:
                rule.settle(Settlement(lease, used, answered=True), now)
        now += grant.wait_seconds
    return times


def busiest_minute(times: list[float]) -> int:
    return max(sum(start <= time < start + 60 for time in times) for start in times)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_request_limit_is_used_in_full_and_never_passed(batch: int) -> None:
    """120 a minute is 2 a second: in 300 s 600 and a burst of 1, in any minute 120 and that burst."""
    times = grants(limiter(requests=120), tokens=10, until=300.0, batch=batch)
    assert 600 <= len(times) <= 601
    assert busiest_minute(times) <= 121


def test_token_limit_binds_where_it_is_the_tighter_one() -> None:
    """6,000 tokens a minute and 500 a request: 12 requests a minute, whatever the request limit."""
    times = grants(limiter(requests=1000, tokens=6000), tokens=500, until=300.0)
    assert 60 <= len(times) <= 61
    assert busiest_minute(times) <= 13


def test_settling_gives_unused_tokens_back() -> None:
    """Leases of 500 that use 100 leave room for 60 a minute instead of 12."""
    assert 299 <= len(grants(limiter(requests=1000, tokens=6000), 500, 300.0, used=100)) <= 302


@pytest.mark.parametrize("delay", [0.3, 5.0])
def test_a_token_limit_is_used_in_full_though_requests_are_overestimated(delay: float) -> None:
    """6,000 tokens a minute, estimates of 500, 100 used; replies after a while, told of in batches once a second."""
    rule, now, used = limiter(requests=PLENTY, tokens=6000), 0.0, 0
    flying: list[tuple[float, int]] = []
    while now < 300.0:
        now += 0.05
        if abs(now - round(now)) < 0.02:
            for due, lease in [entry for entry in flying if entry[0] <= now]:
                flying.remove((due, lease))
                rule.settle(Settlement(lease, 100, answered=True), now)
        leases = rule.lease([Ask(500)] * 9, now).leases
        flying += [(now + delay, lease) for lease in leases]
        used += 100 * len(leases)
    assert 0.95 * 30_000 <= used <= 30_000 + 500


def test_settling_charges_what_was_underestimated() -> None:
    rule = limiter(requests=1000, tokens=6000)
    lease = rule.lease([Ask(50)], 0.0).leases[0]
    rule.settle(Settlement(lease, 1050, answered=True), 0.0)
    # A burst of 50, less 1,050, is 1,000 short; 100 flow in a second, and 50 have to be there.
    assert rule.lease([Ask(50)], 0.0).wait_seconds == pytest.approx(10.5)


def test_a_request_that_failed_for_sure_takes_no_tokens_and_one_that_broke_off_keeps_its_estimate() -> None:
    for uncertain, wait in ((False, 0.0), (True, 1.0)):
        rule = limiter(requests=1000, tokens=6000)
        lease = rule.lease([Ask(100)], 0.0).leases[0]
        rule.settle(Settlement(lease, uncertain=uncertain), 0.0)
        # A burst of 50, less 100, is 50 short; 50 more have to be there.
        assert rule.lease([Ask(50)], 0.0).wait_seconds == pytest.approx(wait)


def test_a_request_beyond_the_token_limit_is_refused_at_once_and_those_before_it_go() -> None:
    grant = limiter(tokens=1000).lease([Ask(10), Ask(1001), Ask(10)], 0.0)
    assert len(grant.leases) == 1
    assert "1001 tokens" in grant.refused
    assert grant.wait_seconds == 0.0


def test_a_request_of_the_whole_limit_gets_through() -> None:
    assert limiter(requests=60, tokens=1000).lease([Ask(1000)], 0.0).leases


def test_nothing_is_sent_before_a_pause_is_over() -> None:
    rule = limiter(requests=6000)
    rule.settle(Settlement(0, pause_seconds=7.0), 1.0)
    rule.settle(Settlement(0, pause_seconds=2.0), 1.0)  # a shorter one does not shorten it
    assert rule.lease([Ask(1)], 3.0).wait_seconds == pytest.approx(5.0)
    assert rule.lease([Ask(1)], 8.0).leases


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    rule = Limiter(Limits(60, PLENTY), 100.0)
    assert rule.lease([Ask(1)], 100.0).leases
    assert not rule.lease([Ask(1)], 50.0).leases
    assert rule.lease([Ask(1)], 101.0).leases


def test_places_are_freed_by_settling() -> None:
    rule = limiter(in_flight=2)
    first = rule.lease([Ask(1)] * 5, 0.0)
    assert len(first.leases) == 2
    assert first.wait_seconds > 0
    rule.settle(Settlement(first.leases[0], answered=True), 1.0)
    assert len(rule.lease([Ask(1)] * 5, 1.0).leases) == 1


def test_a_lease_whose_sender_died_is_free_after_its_time_and_counts_as_charged() -> None:
    rule = limiter(in_flight=1, max_usd=1.0, lease_seconds=60.0)
    assert rule.lease([Ask(1, usd=0.4)], 0.0).leases
    assert not rule.lease([Ask(1, usd=0.4)], 59.0).leases
    assert rule.lease([Ask(1, usd=0.4)], 60.0).leases
    assert rule.report().committed_usd == pytest.approx(0.8)


def test_after_a_restart_nothing_flows_before_its_time() -> None:
    """60 a minute: a second after the restart one request goes, not two."""
    rule = limiter(requests=60, fresh=False)
    assert not rule.lease([Ask(1)], 0.0).leases
    assert len(rule.lease([Ask(1)] * 3, 1.0).leases) == 1


def provider_run(limit: float, seconds: float, retry_after: float, seed: int = 0) -> tuple[float, int, int]:
    """A provider that allows `limit` a minute where 6,000 were promised; replies take 0.2 s.

    Returns its accepted requests a minute over the last half of the run, and those refused and all sent in that half.
    """
    rule, jitter = limiter(requests=6000), random.Random(seed)
    now, level, accepted, refused = 0.0, limit / 60, [], []
    waiting: list[tuple[float, Settlement]] = []
    while now < seconds:
        now += 0.02
        level = min(limit / 60, level + limit / 60 * 0.02)
        for due, settlement in [entry for entry in waiting if entry[0] <= now]:
            rule.settle(settlement, now)
            waiting.remove((due, settlement))
        for lease in rule.lease([Ask(1)] * 20, now).leases:
            good = level >= 1
            level -= good
            (accepted if good else refused).append(now)
            pause = None if good else retry_after
            settlement = Settlement(lease, answered=good, refused_for_rate=not good, pause_seconds=pause)
            waiting.append((now + 0.2 + 0.1 * jitter.random(), settlement))
    late, bad = (sum(time > seconds / 2 for time in times) for times in (accepted, refused))
    return late / (seconds / 2) * 60, bad, late + bad


@pytest.mark.parametrize("retry_after", [0.05, 1.0])
def test_a_provider_that_allows_half_is_used_to_nine_tenths_with_few_refusals(retry_after: float) -> None:
    rate, refused, sent = provider_run(3000, 240.0, retry_after)
    assert rate >= 0.9 * 3000
    assert refused / sent <= 0.01


def test_the_pace_comes_back_when_refusals_end() -> None:
    rule = limiter(requests=6000)
    for _ in range(10):
        lease = rule.lease([Ask(1)], 0.0).leases[0]
        rule.settle(Settlement(lease, refused_for_rate=True), 0.0)
    assert rule.report().share == pytest.approx(0.93), "refusals of one moment are one cut"
    rule.lease([], 70.0)
    assert rule.report().share == pytest.approx(1.0)


def test_limits_that_the_provider_states_are_taken_where_they_are_lower() -> None:
    rule = limiter(requests=6000)
    rule.settle(Settlement(0, stated=StatedLimits(requests_per_minute=60)), 0.0)
    assert len(rule.lease([Ask(1)] * 9, 100.0).leases) == 1
    rule.settle(Settlement(0, stated=StatedLimits(requests_per_minute=10**6)), 100.0)
    assert len(rule.lease([Ask(1)] * 500, 200.0).leases) == 50, "never more than was configured"


def test_what_the_provider_says_is_left_is_not_passed() -> None:
    rule = limiter(requests=6000)
    rule.settle(Settlement(0, stated=StatedLimits(requests_left=3)), 0.0)
    assert len(rule.lease([Ask(1)] * 9, 0.0).leases) == 3


def test_the_budget_is_never_passed_whatever_the_requests_cost() -> None:
    """Random costs below their bounds, random endings: what is charged never exceeds the cap, and most is used."""
    for seed in range(20):
        dice, rule, now = random.Random(seed), limiter(max_usd=1.0), 0.0
        flying: list[tuple[int, float]] = []
        charged = 0.0
        while not rule.stopped_by:
            now += 0.1
            bound = dice.uniform(0.001, 0.05)
            flying += [(lease, bound) for lease in rule.lease([Ask(1, usd=bound)], now).leases]
            dice.shuffle(flying)
            while len(flying) > dice.randrange(12):
                lease, most = flying.pop()
                cost = dice.uniform(0.0, most)
                charged += cost
                rule.settle(Settlement(lease, 1, usd=cost, answered=True), now)
        charged += sum(most for _, most in flying)
        assert 0.9 <= charged <= 1.0 + 1e-9
        assert "revise.max_usd is 1" in rule.stopped_by


def test_a_request_that_broke_off_counts_as_charged_in_full() -> None:
    rule = limiter(max_usd=1.0)
    lease = rule.lease([Ask(1, usd=0.6)], 0.0).leases[0]
    rule.settle(Settlement(lease, uncertain=True), 1.0)
    assert rule.lease([Ask(1, usd=0.6)], 2.0).stopped


def test_an_endpoint_that_went_away_ends_the_job() -> None:
    rule = limiter()
    for _ in range(UNANSWERED_IN_A_ROW - 1):
        rule.give_up("it is gone")
    assert rule.lease([Ask(1)], 0.0).leases
    rule.give_up("it is gone")
    assert rule.lease([Ask(1)], 9.0).stopped == "it is gone"


def test_some_drafts_given_up_among_many_answered_do_not_end_the_job() -> None:
    rule = limiter()
    for _ in range(UNANSWERED_IN_A_ROW):
        rule.give_up("slow")
        rule.settle(Settlement(0, answered=True), 0.0)
        rule.give_up("slow")
    assert rule.lease([Ask(1)], 0.0).leases


def test_the_first_cause_of_a_stop_is_told() -> None:
    rule = limiter()
    rule.stop("the key is wrong")
    rule.stop("it is gone")
    grant = rule.lease([Ask(1)], 0.0)
    assert (grant.leases, grant.stopped) == ((), "the key is wrong")


def test_figures_add_up() -> None:
    rule = limiter(max_usd=1.0)
    one, two, three = rule.lease([Ask(9, usd=0.1)] * 3, 0.0).leases
    rule.settle(Settlement(one, 5, usd=0.02, answered=True), 1.0)
    rule.settle(Settlement(two, refused_for_rate=True), 1.0)
    figures = rule.report()
    assert (figures.sent, figures.answered, figures.refused_for_rate, figures.in_flight) == (3, 1, 1, 1)
    assert (figures.tokens, figures.usd) == (5, 0.02)
    assert figures.committed_usd == pytest.approx(0.12)
    assert three


def test_estimate_covers_prompt_template_and_longest_reply() -> None:
    messages: list[Message] = [{"role": "user", "content": "a" * 300}, {"role": "user", "content": "日本"}]
    assert estimate_tokens(messages, max_tokens=50) == 102 + 16 + 50
