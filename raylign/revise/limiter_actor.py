"""The one limiter of a job, as a named Ray actor, and every other actor's line to it. This acts; `limiter` decides."""

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from raylign.revise.ledger import Ledger
from raylign.revise.limiter import Ask, Figures, Grant, Limiter, Limits, Settlement
from raylign.revise.metrics import FigureMetrics

ASKS_AT_ONCE = 512
_GAP_SECONDS = 0.05
"""Least time between two messages of one actor: what comes together travels together."""
_LONGEST_SLEEP_SECONDS = 1.0
_LEDGER_SHARE = 0.01
_PUBLISH_SECONDS = 1.0


class LimiterActor:
    """A Limiter on this process's clock. It never waits itself: it answers how long the caller has to.

    Ray starts it again where it dies. It then knows nothing of the last second, so it begins with empty buckets: the
    rate is never doubled. What was spent it takes from the ledger, which runs ahead of the spending by up to a
    hundredth of the cap: a restart may end a job that much early, and never lets it spend more.
    """

    def __init__(self, limits: Limits, spent_usd: float, ledger: Ledger | None) -> None:
        import ray

        self.metrics, self.published_at = FigureMetrics(), 0.0
        restarted = ray.get_runtime_context().was_current_actor_reconstructed
        self.ledger, self.in_ledger = ledger, spent_usd
        if restarted and ledger is not None:
            self.in_ledger = ledger.read()
        # Numbers of an earlier life must not be taken for leases of this one.
        self.limiter = Limiter(
            limits, time.monotonic(), self.in_ledger, fresh=not restarted, next_lease=random.getrandbits(40) << 20
        )

    async def exchange(self, settlements: Sequence[Settlement], asks: list[Ask], given_up: Sequence[str] = ()) -> Grant:
        """Settle leases, count drafts that were given up, each by its cause, and ask for new leases."""
        now = time.monotonic()
        for settlement in settlements:
            self.limiter.settle(settlement, now)
        for cause in given_up:
            self.limiter.give_up(cause)
        grant = self.limiter.lease(asks, now)
        self._keep_ledger()
        if now - self.published_at >= _PUBLISH_SECONDS:
            self.published_at = now
            self.metrics.publish(self.limiter.report())
        return grant

    async def stop(self, cause: str) -> None:
        """Let nobody send any more."""
        self.limiter.stop(cause)

    async def report(self) -> Figures:
        """The figures so far."""
        return replace(self.limiter.report())

    def _keep_ledger(self) -> None:
        budget = self.limiter.budget
        if self.ledger is None or budget.committed <= self.in_ledger:
            return
        self.in_ledger = budget.committed + (self.limiter.limits.max_usd or 0.0) * _LEDGER_SHARE
        self.ledger.keep(self.in_ledger)


def start_limiter(limits: Limits, spent_usd: float = 0.0, ledger: Ledger | None = None) -> Any:
    """The actor's handle; it ends with the job, or by `ray.kill`.

    Args:
        spent_usd: charged by earlier runs of the same job; counts against `limits.max_usd`.
        ledger: where the spending is kept, or None where nothing is capped.
    """
    import ray

    remote = ray.remote(LimiterActor).options(
        name=f"raylign-limiter-{uuid.uuid4().hex[:8]}", num_cpus=0, max_restarts=-1, max_task_retries=-1
    )
    return remote.remote(limits, spent_usd, ledger if limits.max_usd is not None else None)


class RefusedError(Exception):
    """This request can never be sent; the text says why."""


class JobStoppedError(Exception):
    """No request of this job is sent any more; the text says why."""


class LeaseDesk:
    """One actor's line to the limiter: the asks and settlements of all its requests travel in few messages."""

    def __init__(self, limiter: Any) -> None:
        self.limiter = limiter
        self.waiting: deque[tuple[Ask, asyncio.Future[int]]] = deque()
        self.settlements: list[Settlement] = []
        self.given_up: list[str] = []
        self.given = self.told = 0
        """Settlements that were handed in here, and those of them that the limiter has."""
        self.watching: deque[tuple[int, asyncio.Future[None]]] = deque()
        """Who waits until the limiter has so many."""
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.stopped = ""

    async def lease(self, ask: Ask) -> int:
        """Wait until this request may be sent; returns its lease.

        Raises:
            RefusedError: it never may.
            JobStoppedError: nothing is sent any more.
        """
        if self.stopped:
            raise JobStoppedError(self.stopped)
        granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.waiting.append((ask, granted))
        self._start()
        if len(self.waiting) == 1:
            self.wake.set()
        return await granted

    def settle(self, settlement: Settlement) -> None:
        """Say how a leased request ended."""
        self.settlements.append(settlement)
        self.given += 1
        self._start()
        self.wake.set()

    async def settled(self) -> None:
        """Wait until the limiter has every settlement so far, or is gone for good.

        What is done with by then is charged as what it cost, and not as the most that it might have.
        """
        if self.told < self.given and self.task is not None and not self.task.done():
            has_them: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.watching.append((self.given, has_them))
            await has_them

    async def stop(self, cause: str) -> None:
        """End the job, for every actor."""
        self.stopped = self.stopped or cause
        await self.limiter.stop.remote(cause)

    def give_up(self, cause: str) -> None:
        """Say that a draft got no reply after all its tries.

        It travels with the settlement of the last try, ahead of whoever wants the place that became free: nobody is
        sent to an endpoint that is known to be gone.
        """
        self.given_up.append(cause)

    def _start(self) -> None:
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._talk())

    async def _talk(self) -> None:
        try:
            while True:
                await self.wake.wait()
                while self.waiting or self.settlements:
                    self.wake.clear()
                    await self._sleep(await self._exchange())
        except Exception as error:  # the limiter is gone for good: nobody may wait for it for ever
            self._fail_all(f"the limiter cannot be reached: {error}")
            self._say_told(self.given)

    async def _exchange(self) -> float:
        """One message; returns how long to wait before the next one."""
        settlements, self.settlements = self.settlements, []
        given_up, self.given_up = self.given_up, []
        asks = [ask for ask, _ in islice(self.waiting, ASKS_AT_ONCE)]
        grant: Grant = await self.limiter.exchange.remote(settlements, asks, given_up)
        self.told += len(settlements)
        self._say_told(self.told)
        for lease in grant.leases:
            self.waiting.popleft()[1].set_result(lease)
        if grant.stopped:
            self._fail_all(grant.stopped)
        elif grant.refused:
            self.waiting.popleft()[1].set_exception(RefusedError(grant.refused))
        return grant.wait_seconds

    async def _sleep(self, wait_seconds: float) -> None:
        """Until the wait is over, or a settlement may have made room."""
        await asyncio.sleep(_GAP_SECONDS)
        rest = min(wait_seconds, _LONGEST_SLEEP_SECONDS) - _GAP_SECONDS
        if rest > 0 and not self.settlements:
            try:
                await asyncio.wait_for(self.wake.wait(), rest)
            except TimeoutError:
                return

    def _say_told(self, count: int) -> None:
        while self.watching and self.watching[0][0] <= count:
            self.watching.popleft()[1].set_result(None)

    def _fail_all(self, cause: str) -> None:
        self.stopped = self.stopped or cause
        while self.waiting:
            self.waiting.popleft()[1].set_exception(JobStoppedError(self.stopped))
