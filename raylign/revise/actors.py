"""The pool of reviser actors: many requests in flight each, one limiter for all. This acts; it holds no rule."""

import asyncio
import random
import time
from collections.abc import Generator
from typing import Any

import pyarrow as pa

from raylign.config import ReviseConfig
from raylign.records import Draft, Message, Revision, to_table
from raylign.revise.client import ChatClient
from raylign.revise.failures import Failure, explain_fatal, explain_gone
from raylign.revise.limiter import Lease, estimate_tokens
from raylign.revise.limiter_actor import start_limiter
from raylign.revise.reasons import TRANSIENT, Reason
from raylign.revise.replies import Reply
from raylign.revise.retry import retry_delay
from raylign.revise.rows import Call, to_revision
from raylign.revise.secret import Secret
from raylign.revise.templates import load_template

CPUS_PER_ACTOR = 0.5
_BLOCKS_AT_ONCE = 8
"""Blocks are small beside an actor's places, so that a place freed by a quick reply is soon taken again …"""
_FEWEST_ROWS = 4
"""… but not so small that Ray's own work on each block outweighs the requests."""


class Reviser:
    """What an actor of the pool does with a block of drafts; all its blocks share one event loop."""

    def __init__(self, revise: ReviseConfig, base_url: str, served_name: str, key: Secret, limiter: Any) -> None:
        self.revise = revise
        self.base_url = base_url
        self.served_name = served_name
        self.limiter = limiter
        self.template = load_template(revise)
        self.client = ChatClient(base_url, key, revise.timeout_seconds)
        self.places = asyncio.Semaphore(revise.requests_in_flight)
        self.turn = asyncio.Lock()
        self.stopped_by: Failure | None = None

    async def __call__(self, drafts: pa.Table) -> pa.Table:
        """Revisions of a block of drafts, in order."""
        rows = await asyncio.gather(*(self._row(Draft(**row)) for row in drafts.to_pylist()))
        return to_table(Revision, rows)

    async def _row(self, draft: Draft) -> Revision:
        messages = self.template.messages(draft.messages, draft.answer)
        return to_revision(draft, await self._call(messages), self.revise, self.template)

    async def _call(self, messages: list[Message]) -> Call:
        tokens = estimate_tokens(messages, self.revise.max_tokens)
        for attempt in range(1, self.revise.max_attempts + 1):
            async with self.places:
                if failure := await self._wait_for_lease(tokens):
                    return Call(failure, attempt - 1, 0.0)
                started = time.monotonic()
                outcome = await self._send(messages, tokens)
                call = Call(outcome, attempt, round(time.monotonic() - started, 3))
            if isinstance(outcome, Reply):
                break
            delay = retry_delay(outcome, attempt, self.revise.max_attempts, random.random())
            if delay is None:
                if outcome.reason in TRANSIENT:
                    cause = explain_gone(self.base_url, outcome.reason, outcome.detail)
                    await self.limiter.give_up.remote(str(cause))
                break
            await asyncio.sleep(delay)
        return call

    async def _wait_for_lease(self, tokens: int) -> Failure | None:
        """Wait until the limiter lets a request go; a failure where it never will."""
        async with self.turn:  # one asks for the whole actor, first come first served
            while self.stopped_by is None:
                lease: Lease = await self.limiter.lease.remote(tokens)
                if lease.granted:
                    return None
                if lease.refused:
                    return Failure(Reason.TOO_LARGE, lease.refused)
                if lease.stopped:
                    self.stopped_by = Failure(Reason.STOPPED, lease.stopped)
                    break
                await asyncio.sleep(lease.wait_seconds)
            return self.stopped_by

    async def _send(self, messages: list[Message], tokens: int) -> Reply | Failure:
        revise = self.revise
        outcome = await self.client.complete(self.served_name, messages, revise.max_tokens, revise.temperature)
        if isinstance(outcome, Reply):
            # An endpoint that states no usage is taken at the estimate.
            self.limiter.settle.remote(tokens, outcome.prompt_tokens + outcome.reply_tokens or tokens)
            return outcome
        if outcome.fatal:
            error = explain_fatal(outcome, self.base_url, revise.model, revise.api_key_env)
            self.stopped_by = outcome = Failure(Reason.STOPPED, str(error))
            await self.limiter.stop.remote(str(error))
        elif outcome.retry_after_seconds:
            await self.limiter.pause.remote(outcome.retry_after_seconds)
        return outcome


def plan_blocks(requests_in_flight: int) -> tuple[int, int]:
    """Rows in a block, and blocks an actor works on at once: half as many rows again as it has places."""
    rows = max(_FEWEST_ROWS, requests_in_flight // _BLOCKS_AT_ONCE)
    return rows, -(-3 * requests_in_flight // (2 * rows))


def revise_drafts(
    drafts: list[Draft], revise: ReviseConfig, base_url: str, served_name: str, key: Secret
) -> Generator[pa.Table, None, None]:
    """Run the pool over these drafts in the current Ray session; yields tables of revisions as they come, unordered."""
    import ray
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    rows, blocks_at_once = plan_blocks(revise.requests_in_flight)
    table = to_table(Draft, drafts)
    limiter = start_limiter(revise)
    try:
        dataset = ray.data.from_arrow([table.slice(start, rows) for start in range(0, len(drafts), rows)])
        revisions = dataset.map_batches(
            Reviser,
            fn_constructor_args=(revise, base_url, served_name, key, limiter),
            batch_format="pyarrow",
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(
                min_size=revise.actors_min,
                max_size=revise.actors_max,
                max_concurrent_calls_per_actor=blocks_at_once,
                max_tasks_in_flight_per_actor=2 * blocks_at_once,
            ),
            num_cpus=CPUS_PER_ACTOR,
        )
        yield from revisions.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    finally:
        ray.kill(limiter)
