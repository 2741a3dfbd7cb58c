"""Only what can pass is tried again, not before the endpoint's word, and what stops the job says how to mend it."""

import pytest

from raylign.revise.failures import Failure, explain_fatal, failure_of_status
from raylign.revise.reasons import Reason
from raylign.revise.retry import Tries, retry_delay


@pytest.mark.parametrize(
    ("status", "code", "reason", "fatal"),
    [
        (429, "rate_limit_exceeded", Reason.RATE_LIMITED, False),
        (429, "insufficient_quota", Reason.RATE_LIMITED, True),
        (408, "", Reason.TIMEOUT, False),
        (500, "", Reason.SERVER_ERROR, False),
        (503, "", Reason.SERVER_ERROR, False),
        (400, "context_length_exceeded", Reason.BAD_REQUEST, False),
        (400, "model_not_found", Reason.BAD_REQUEST, True),
        (401, "invalid_api_key", Reason.BAD_REQUEST, True),
        (403, "", Reason.BAD_REQUEST, True),
        (404, "", Reason.BAD_REQUEST, True),
    ],
)
def test_status_codes(status: int, code: str, reason: Reason, fatal: bool) -> None:
    failure = failure_of_status(status, code, "said the server")
    assert (failure.reason, failure.fatal) == (reason, fatal)


def test_backoff_doubles_to_a_cap_and_jitter_is_full() -> None:
    failure = Failure(Reason.SERVER_ERROR, "")
    assert [retry_delay(failure, attempt, 99, 0.5) for attempt in (1, 2, 3, 4, 20)] == [0.5, 1.0, 2.0, 4.0, 30.0]
    assert retry_delay(failure, 3, 99, 0.0) == 0.0


def test_retry_after_is_a_floor() -> None:
    failure = Failure(Reason.RATE_LIMITED, "", retry_after_seconds=12.0)
    assert retry_delay(failure, 1, 5, 0.0) == 12.0
    assert 12.0 < (retry_delay(failure, 4, 5, 0.9) or 0) <= 13.0


@pytest.mark.parametrize(
    "failure",
    [
        Failure(Reason.BAD_REQUEST, ""),
        Failure(Reason.TOO_LARGE, ""),
        Failure(Reason.RATE_LIMITED, "", fatal=True),
    ],
)
def test_what_cannot_pass_is_not_tried_again(failure: Failure) -> None:
    assert retry_delay(failure, 1, 5, 0.5) is None


def test_the_last_attempt_is_the_last() -> None:
    assert retry_delay(Failure(Reason.TIMEOUT, ""), 4, 5, 0.5) is not None
    assert retry_delay(Failure(Reason.TIMEOUT, ""), 5, 5, 0.5) is None


REFUSED = Failure(Reason.RATE_LIMITED, "")
BROKEN = Failure(Reason.SERVER_ERROR, "")


def test_a_refusal_for_the_rate_is_no_try() -> None:
    tries = Tries(max_attempts=2, timeout_seconds=30.0)
    for second in range(300):
        assert tries.delay(REFUSED, float(second), 0.5) is not None
    assert tries.delay(BROKEN, 300.0, 0.5) is not None
    assert tries.delay(BROKEN, 301.0, 0.5) is None


def test_refusals_without_end_are_given_up_after_ten_timeouts() -> None:
    tries = Tries(max_attempts=5, timeout_seconds=30.0)
    assert tries.delay(REFUSED, 1000.0, 0.5) is not None
    assert tries.delay(REFUSED, 1300.0, 0.5) is not None
    assert tries.delay(REFUSED, 1300.1, 0.5) is None


def test_a_request_that_was_worked_on_between_two_refusals_has_the_whole_time_again() -> None:
    tries = Tries(max_attempts=5, timeout_seconds=30.0)
    for failure, now in ((REFUSED, 0.0), (REFUSED, 290.0), (BROKEN, 295.0), (REFUSED, 310.0)):
        assert tries.delay(failure, now, 0.5) is not None
    assert tries.delay(REFUSED, 610.1, 0.5) is None


def test_refusals_back_off_like_failures_and_obey_retry_after_however_many_they_are() -> None:
    tries = Tries(max_attempts=1, timeout_seconds=1e6)
    assert [tries.delay(REFUSED, 0.0, 0.5) for _ in range(3)] == [0.5, 1.0, 2.0]
    assert tries.delay(Failure(Reason.RATE_LIMITED, "", retry_after_seconds=12.0), 0.0, 0.0) == 12.0
    assert [tries.delay(REFUSED, 0.0, 0.5) for _ in range(3000)][-1] == 30.0


def test_an_account_without_credit_is_not_asked_again() -> None:
    assert Tries(5, 30.0).delay(Failure(Reason.RATE_LIMITED, "", fatal=True), 0.0, 0.5) is None


def explained(status: int, key_env: str | None = "MY_KEY", served: tuple[str, ...] = ()) -> str:
    return str(explain_fatal(failure_of_status(status, "", "no"), "https://host/v1", "editor", key_env, served))


def test_fatal_failures_name_the_cure() -> None:
    assert "MY_KEY" in explained(401)
    assert "api_key_env" in explained(403, key_env=None)
    assert "'editor'" in explained(404)
    assert "base_url" in explained(404)
    assert "it serves a, b, c, d, e, …" in explained(404, served=tuple("abcdefg"))
    assert "credit" in explained(402)
    unreachable = explain_fatal(Failure(Reason.CONNECTION, "refused"), "http://host:1/v1", "editor", None)
    assert "http://host:1/v1 does not answer (refused)" in str(unreachable)
