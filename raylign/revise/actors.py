"""The pool of actors that ask the endpoint: many requests each, one limiter and one journal for all. This acts."""

import asyncio
import atexit
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from raylign.config import EndpointConfig
from raylign.journal.files import JournalFiles
from raylign.journal.reader import Journal
from raylign.journal.writer import Entry, JournalWriter
from raylign.records import Message, to_table
from raylign.revise.budget import price_of
from raylign.revise.chat_request import Parameters
from raylign.revise.client import ChatClient
from raylign.revise.failures import Failure, explain_fatal, explain_gone
from raylign.revise.headers import StatedLimits
from raylign.revise.limiter import Ask, Settlement, estimate_tokens
from raylign.revise.limiter_actor import JobStoppedError, LeaseDesk, RefusedError
from raylign.revise.pool import CPUS_PER_ACTOR
from raylign.revise.reasons import TRANSIENT, Reason
from raylign.revise.replies import Reply
from raylign.revise.retry import Tries
from raylign.revise.rows import Call
from raylign.revise.secret import Secret
from raylign.revise.templates import request_key
from raylign.revise.work import Work

_BLOCKS_AT_ONCE = 8
"""Blocks are small beside an actor's places, so that a place freed by a quick reply is soon taken again …"""
_FEWEST_ROWS = 4
"""… but not so small that Ray's own work on each block outweighs the requests."""


@dataclass(frozen=True)
class Reach:
    """What an actor needs to reach the endpoint, and what all actors share."""

    base_url: str
    served: Mapping[str, str]
    """Names at the endpoint of models that requests know by another one."""
    key: Secret
    limiter: Any
    """The limiter's actor handle."""
    journal: str
    """The journal's folder."""
    index: Any
    """Reference to the journal's index as the job found it, once on each node."""


class Asker:
    """What an actor of the pool does with a block of items; all its blocks share one event loop."""

    def __init__(self, work: Work, endpoint: EndpointConfig, reach: Reach) -> None:
        import ray

        self.work, self.endpoint, self.reach = work, endpoint, reach
        self.price = price_of(endpoint)
        self.client = ChatClient(reach.base_url, reach.key, endpoint.timeout_seconds)
        self.desk = LeaseDesk(reach.limiter)
        files = JournalFiles(reach.journal)
        self.journal, self.writer = Journal(files, ray.get(reach.index)), JournalWriter(files)
        atexit.register(self.writer.close)
        self.places = asyncio.Semaphore(endpoint.requests_in_flight)
        self.refreshing = asyncio.Lock()

    async def __call__(self, items: pa.Table) -> pa.Table:
        """The rows of a block of items, in order."""
        # Ray hands the block of an actor that died to another one: what that one was answered is in the journal.
        await self._refresh()
        rows = await asyncio.gather(*(self._row(self.work.item(**row)) for row in items.to_pylist()))
        await self.desk.settled()  # rows that are in must be in the run's spending, too
        return to_table(self.work.row, rows)

    async def _refresh(self) -> None:
        if self.journal.files.local:  # a listing and what is new: quicker than a thread gets its turn beside this one
            self.journal.refresh()
            return
        async with self.refreshing:
            await asyncio.to_thread(self.journal.refresh)

    async def _row(self, item: Any) -> Any:
        """The row of one item: its request, and each further one that its replies call for."""
        replies: list[Reply] = []
        attempts, parameters = 0, self.work.parameters(item)
        while messages := self.work.next_request(item, replies):
            call = await self._call(messages, parameters)
            attempts += call.attempts
            if isinstance(call.outcome, Failure):
                call = replace(call, attempts=attempts, earlier=tuple(replies))
                break
            replies.append(call.outcome)
            call = replace(call, attempts=attempts, earlier=tuple(replies[:-1]))
        return self.work.to_row(item, call)

    async def _call(self, messages: list[Message], parameters: Parameters) -> Call:
        """The reply to a request: from the journal, or else from the endpoint and kept before anything else."""
        key = request_key(parameters, messages)
        if kept := self.journal.replies([key])[0]:
            return Call(kept, 0, 0.0)
        ask = Ask(
            estimate_tokens(messages, parameters.max_tokens), self.price.most_usd(messages, parameters.max_tokens)
        )
        tries, sent = Tries(self.endpoint.max_attempts, self.endpoint.timeout_seconds), 0
        while True:
            call = await self._attempt(messages, parameters, ask)
            sent += call.attempts
            if isinstance(call.outcome, Reply):
                await self.writer.add(Entry(key, call.outcome))
                break
            delay = tries.delay(call.outcome, time.monotonic(), random.random())
            if delay is None:
                if call.outcome.reason in TRANSIENT:
                    cause = explain_gone(self.reach.base_url, call.outcome.reason, call.outcome.detail)
                    self.desk.give_up(str(cause))
                break
            await asyncio.sleep(delay)
        return replace(call, attempts=sent)

    async def _attempt(self, messages: list[Message], parameters: Parameters, ask: Ask) -> Call:
        """One request, once the limiter lets it go."""
        served_name = self.reach.served.get(parameters.model, parameters.model)
        async with self.places:
            try:
                lease = await self.desk.lease(ask)
            except RefusedError as error:
                return Call(Failure(Reason.TOO_LARGE, str(error)), 0, 0.0)
            except JobStoppedError as error:
                return Call(Failure(Reason.STOPPED, str(error)), 0, 0.0)
            started = time.monotonic()
            outcome, stated = await self.client.complete(
                served_name,
                messages,
                parameters.max_tokens,
                parameters.temperature,
                self.work.response_format,
            )
            seconds = round(time.monotonic() - started, 3)
        self.desk.settle(self._settlement(lease, outcome, stated))
        if isinstance(outcome, Failure) and outcome.fatal:
            cause = str(explain_fatal(outcome, self.reach.base_url, served_name, self.endpoint.api_key_env))
            await self.desk.stop(cause)
            outcome = Failure(Reason.STOPPED, cause)
        return Call(outcome, 1, seconds)

    def _settlement(self, lease: int, outcome: Reply | Failure, stated: StatedLimits | None) -> Settlement:
        if isinstance(outcome, Reply):
            usd = self.price.usd(outcome.prompt_tokens, outcome.reply_tokens)
            tokens = outcome.prompt_tokens + outcome.reply_tokens
            return Settlement(lease, tokens, usd, answered=True, stated=stated)
        return Settlement(
            lease,
            uncertain=outcome.may_be_charged,
            refused_for_rate=outcome.reason == Reason.RATE_LIMITED and not outcome.fatal,
            pause_seconds=outcome.retry_after_seconds,
            stated=stated,
        )


def rows_per_block(requests_in_flight: int) -> int:
    """Rows in a block of items that are all there already."""
    return max(_FEWEST_ROWS, requests_in_flight // _BLOCKS_AT_ONCE)


def blocks_at_once(requests_in_flight: int, rows: int) -> int:
    """Blocks of so many rows that an actor works on at once: half as many rows again as it has places."""
    return max(2, -(-3 * requests_in_flight // (2 * rows)))


def in_blocks(items: pa.Table, rows: int) -> Any:
    """The Ray Data set of these items, in blocks of so many rows."""
    import ray.data

    return ray.data.from_arrow([items.slice(start, rows) for start in range(0, len(items), rows)])


def run_pool(
    items: Any, rows: int, work: Work, endpoint: EndpointConfig, reach: Reach
) -> Generator[pa.Table, None, None]:
    """Run the pool over a Ray Data set in the current Ray session; yields tables of rows as they come, unordered.

    Args:
        items: Rows of `work.item` in blocks of about `rows`; may itself be under way still, such as drafts.
    """
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    at_once = blocks_at_once(endpoint.requests_in_flight, rows)
    done = items.map_batches(
        Asker,
        fn_constructor_args=(work, endpoint, reach),
        batch_format="pyarrow",
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(
            min_size=endpoint.actors_min,
            max_size=endpoint.actors_max,
            max_concurrent_calls_per_actor=at_once,
            max_tasks_in_flight_per_actor=2 * at_once,
        ),
        num_cpus=CPUS_PER_ACTOR,
    )
    yield from done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
