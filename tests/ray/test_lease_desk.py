"""An actor's line to the limiter on a real Ray: what a block waits for before its rows are handed on."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from raylign.revise.limiter import Ask, Limits, Settlement
from raylign.revise.limiter_actor import JobStoppedError, LeaseDesk, start_limiter

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture
def limiter() -> Iterator[Any]:
    import ray

    actor = start_limiter(Limits(requests_per_minute=60_000, tokens_per_minute=6_000_000, max_usd=10.0))
    yield actor
    ray.kill(actor)


async def _leases(desk: LeaseDesk, count: int) -> list[int]:
    return await asyncio.gather(*(desk.lease(Ask(tokens=10, usd=0.01)) for _ in range(count)))


def test_what_was_settled_is_in_the_spending_when_the_wait_is_over(limiter: Any) -> None:
    async def run() -> list[float]:
        desk, spent = LeaseDesk(limiter), []
        for number in range(1, 4):
            for lease in await _leases(desk, 8):
                desk.settle(Settlement(lease, tokens=5, usd=0.001, answered=True))
            await asyncio.wait_for(desk.settled(), 20)
            spent.append((await limiter.report.remote()).usd)
            assert spent[-1] == pytest.approx(0.008 * number)
        await asyncio.wait_for(desk.settled(), 1)  # nothing is owed: no wait
        return spent

    assert len(asyncio.run(run())) == 3


def test_nobody_waits_for_a_limiter_that_is_gone(limiter: Any) -> None:
    import ray

    async def run() -> None:
        desk = LeaseDesk(limiter)
        (lease,) = await _leases(desk, 1)
        ray.kill(limiter, no_restart=True)
        desk.settle(Settlement(lease, answered=True))
        await asyncio.wait_for(desk.settled(), 20)
        with pytest.raises(JobStoppedError, match="cannot be reached"):
            await desk.lease(Ask(tokens=1))

    asyncio.run(run())
