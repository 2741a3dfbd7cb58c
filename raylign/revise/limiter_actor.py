"""The one limiter of a job, as a named Ray actor that every reviser asks. This acts; `limiter` decides."""

import time
import uuid
from typing import Any

from raylign.config import ReviseConfig
from raylign.revise.limiter import Lease, Limiter


class LimiterActor:
    """A Limiter on this process's clock. It never waits itself: it answers how long the caller has to."""

    def __init__(self, requests_per_minute: int, tokens_per_minute: int) -> None:
        self.limiter = Limiter(requests_per_minute, tokens_per_minute, time.monotonic())

    async def lease(self, tokens: int) -> Lease:
        """Ask to send one request."""
        return self.limiter.lease(tokens, time.monotonic())

    async def settle(self, leased_tokens: int, used_tokens: int) -> None:
        """A reply came: correct its lease to what the request used."""
        self.limiter.settle(leased_tokens, used_tokens, time.monotonic())

    async def pause(self, seconds: float) -> None:
        """Let nobody send for this long."""
        self.limiter.pause(seconds, time.monotonic())

    async def give_up(self, cause: str) -> None:
        """A draft got no reply after all its tries."""
        self.limiter.give_up(cause)

    async def stop(self, cause: str) -> None:
        """Let nobody send any more."""
        self.limiter.stop(cause)


def start_limiter(revise: ReviseConfig) -> Any:
    """The actor's handle; it ends with the job, or by `ray.kill`. A restarted one begins with one second's burst."""
    import ray

    remote = ray.remote(LimiterActor).options(
        name=f"raylign-limiter-{uuid.uuid4().hex[:8]}", num_cpus=0, max_restarts=-1, max_task_retries=-1
    )
    return remote.remote(revise.requests_per_minute, revise.tokens_per_minute)
