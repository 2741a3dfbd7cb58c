"""The limiter's arithmetic: the limit holds in every minute, is used in full, and pauses are kept."""

import pytest

from raylign.records import Message
from raylign.revise.limiter import UNANSWERED_IN_A_ROW, Limiter, estimate_tokens


def grants(limiter: Limiter, tokens: int, until: float) -> list[float]:
    """Times at which a caller that always wants more is let through, asking again exactly when told to."""
    now, times = 0.0, []
    while now < until:
        lease = limiter.lease(tokens, now)
        if lease.granted:
            times.append(now)
        else:
            now += lease.wait_seconds
    return times


def busiest_minute(times: list[float]) -> int:
    return max(sum(start <= time < start + 60 for time in times) for start in times)


def test_request_limit_is_used_in_full_and_never_passed() -> None:
    """120 a minute is 2 a second: in 300 s 600 and a burst of 2, in any minute 120 and that burst."""
    times = grants(Limiter(120, 10**9, 0.0), tokens=10, until=300.0)
    assert 600 <= len(times) <= 602
    assert busiest_minute(times) <= 122


def test_token_limit_binds_where_it_is_the_tighter_one() -> None:
    """6,000 tokens a minute and 500 a request: 12 requests a minute, whatever the request limit."""
    times = grants(Limiter(1000, 6000, 0.0), tokens=500, until=300.0)
    assert 60 <= len(times) <= 61
    assert busiest_minute(times) <= 13


def test_settling_gives_unused_tokens_back() -> None:
    """Leases of 500 that use 100 leave room for 60 a minute instead of 12."""
    limiter, now, sent = Limiter(1000, 6000, 0.0), 0.0, 0
    while now < 300:
        lease = limiter.lease(500, now)
        if lease.granted:
            limiter.settle(500, 100, now)
            sent += 1
        else:
            now += lease.wait_seconds
    assert 299 <= sent <= 302


def test_settling_charges_what_was_underestimated() -> None:
    limiter = Limiter(1000, 6000, 0.0)
    assert limiter.lease(50, 0.0).granted
    limiter.settle(50, 1050, 0.0)  # a burst of 100, less 1,050, is 950 short; 100 flow in a second
    assert limiter.lease(50, 0.0).wait_seconds == pytest.approx(10.0)


def test_a_request_beyond_the_token_limit_is_refused_at_once() -> None:
    lease = Limiter(60, 1000, 0.0).lease(1001, 0.0)
    assert not lease.granted
    assert "1001 tokens" in lease.refused
    assert lease.wait_seconds == 0.0


def test_a_request_of_the_whole_limit_gets_through() -> None:
    assert Limiter(60, 1000, 0.0).lease(1000, 0.0).granted


def test_nothing_is_sent_before_a_pause_is_over() -> None:
    limiter = Limiter(6000, 10**9, 0.0)
    limiter.pause(7.0, 1.0)
    limiter.pause(2.0, 1.0)  # a shorter one does not shorten it
    assert limiter.lease(1, 3.0).wait_seconds == pytest.approx(5.0)
    assert limiter.lease(1, 8.0).granted


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    limiter = Limiter(60, 10**9, 100.0)
    assert limiter.lease(1, 100.0).granted
    assert not limiter.lease(1, 50.0).granted
    assert limiter.lease(1, 101.0).granted


def test_an_endpoint_that_went_away_ends_the_job() -> None:
    limiter = Limiter(6000, 10**9, 0.0)
    for _ in range(UNANSWERED_IN_A_ROW - 1):
        limiter.give_up("it is gone")
    assert limiter.lease(1, 0.0).granted
    limiter.give_up("it is gone")
    assert limiter.lease(1, 9.0).stopped == "it is gone"


def test_some_drafts_given_up_among_many_answered_do_not_end_the_job() -> None:
    limiter = Limiter(6000, 10**9, 0.0)
    for _ in range(UNANSWERED_IN_A_ROW):
        limiter.give_up("slow")
        limiter.settle(1, 1, 0.0)
        limiter.give_up("slow")
    assert limiter.lease(1, 0.0).granted


def test_the_first_cause_of_a_stop_is_told() -> None:
    limiter = Limiter(6000, 10**9, 0.0)
    limiter.stop("the key is wrong")
    limiter.stop("it is gone")
    lease = limiter.lease(1, 0.0)
    assert (lease.granted, lease.stopped) == (False, "the key is wrong")


def test_estimate_covers_prompt_template_and_longest_reply() -> None:
    messages: list[Message] = [{"role": "user", "content": "a" * 300}, {"role": "user", "content": "日本"}]
    assert estimate_tokens(messages, max_tokens=50) == 102 + 16 + 50
