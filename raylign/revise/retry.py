"""When a failed request is worth another try, and after how long. Pure.

Backoff is exponential with full jitter: a uniform share of base × 2^(attempt − 1), capped, so that many clients
that failed together do not come back together.
"""

from raylign.revise.failures import Failure
from raylign.revise.reasons import TRANSIENT

BASE_SECONDS = 1.0
MOST_SECONDS = 60.0


def retry_delay(failure: Failure, attempt: int, max_attempts: int, random_share: float) -> float | None:
    """Seconds to wait before the next try, or None to give up.

    Args:
        attempt: Tries made so far, 1 after the first.
        random_share: Uniform in [0, 1).
    """
    if failure.fatal or failure.reason not in TRANSIENT or attempt >= max_attempts:
        return None
    jitter = random_share * min(MOST_SECONDS, BASE_SECONDS * 2.0 ** (attempt - 1))
    if failure.retry_after_seconds is None:
        return jitter
    # Never before the time it named; the jitter on top keeps the first second after it from being a stampede.
    return failure.retry_after_seconds + min(jitter, BASE_SECONDS * random_share)
