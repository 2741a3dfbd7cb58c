"""When a failed request is worth another try, and after how long. Pure.

Backoff is exponential with full jitter: a uniform share of base × 2^(attempt − 1), capped, so that many clients
that failed together do not come back together.
"""

import sys

from raylign.revise.failures import Failure
from raylign.revise.reasons import TRANSIENT, Reason

BASE_SECONDS = 1.0
MOST_SECONDS = 60.0
_DOUBLINGS = 10
"""Beyond the cap, and far from overflow."""
REFUSED_TIMEOUTS = 10.0
"""A request is given up where it was refused for the rate again and again for longer than this many timeouts."""


def retry_delay(failure: Failure, attempt: int, max_attempts: int, random_share: float) -> float | None:
    """Seconds to wait before the next try, or None to give up.

    Args:
        attempt: Tries made so far, 1 after the first.
        random_share: Uniform in [0, 1).
    """
    if failure.fatal or failure.reason not in TRANSIENT or attempt >= max_attempts:
        return None
    jitter = random_share * min(MOST_SECONDS, BASE_SECONDS * 2.0 ** min(attempt - 1, _DOUBLINGS))
    if failure.retry_after_seconds is None:
        return jitter
    # Never before the time it named; the jitter on top keeps the first second after it from being a stampede.
    return failure.retry_after_seconds + min(jitter, BASE_SECONDS * random_share)


class Tries:
    """The tries of one request under a limiter; time is an argument, in seconds of any steady clock.

    A refusal for the rate is not counted among them: the request was never worked on, and the limiter slows down for
    it. Such refusals are bounded by time instead.
    """

    def __init__(self, max_attempts: int, timeout_seconds: float) -> None:
        self.max_attempts = max_attempts
        self.patience_seconds = REFUSED_TIMEOUTS * timeout_seconds
        self.failed = 0
        self.refused = 0
        """Times in a row, since `refused_since`."""
        self.refused_since = 0.0

    def delay(self, failure: Failure, now: float, random_share: float) -> float | None:
        """Seconds to wait before the request that ended like this is sent again, or None to give up."""
        if failure.reason != Reason.RATE_LIMITED:
            self.failed, self.refused = self.failed + 1, 0
            return retry_delay(failure, self.failed, self.max_attempts, random_share)
        if not self.refused:
            self.refused_since = now
        self.refused += 1
        if now - self.refused_since > self.patience_seconds:
            return None
        return retry_delay(failure, self.refused, sys.maxsize, random_share)
