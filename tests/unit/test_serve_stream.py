"""Streams: the first part at once, later ones in groups, none lost, none held when the stream is slow."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from raylign.serve.stream import PARTS_AT_ONCE, grouped


async def parts(count: int, pause: float, error: Exception | None = None) -> AsyncGenerator[int, None]:
    for number in range(count):
        await asyncio.sleep(pause)
        yield number
    if error:
        raise error


async def collect(source: AsyncGenerator[int, None], seconds: float) -> list[tuple[float, list[int]]]:
    start = time.monotonic()
    return [(time.monotonic() - start, group) async for group in grouped(source, seconds)]


def test_the_first_part_does_not_wait_and_all_arrive_in_order() -> None:
    groups = asyncio.run(collect(parts(200, 0.002), 0.2))
    assert groups[0][0] < 0.1
    assert groups[0][1][0] == 0
    assert [part for _, group in groups for part in group] == list(range(200))
    assert len(groups) < PARTS_AT_ONCE + 10  # about 0.4 s of parts in groups of 0.2 s
    assert max(len(group) for _, group in groups) > 10


def test_a_slow_stream_is_not_slowed_down() -> None:
    groups = asyncio.run(collect(parts(8, 0.05), 0.01))
    assert [group for _, group in groups] == [[number] for number in range(8)]


def test_an_empty_stream_ends() -> None:
    assert asyncio.run(collect(parts(0, 0), 0.05)) == []


def test_an_error_comes_after_the_parts_before_it() -> None:
    async def run() -> None:
        async for group in grouped(parts(5, 0.001, ValueError("engine died")), 0.05):
            found.extend(group)

    found: list[int] = []
    with pytest.raises(ValueError, match="engine died"):
        asyncio.run(run())
    assert found == [0, 1, 2, 3, 4]


def test_a_client_that_goes_away_ends_the_answer() -> None:
    ended = []

    async def endless() -> AsyncGenerator[int, None]:
        try:
            while True:
                await asyncio.sleep(0.001)
                yield 1
        finally:
            ended.append(True)

    async def run() -> None:
        stream = grouped(endless(), 0.01)
        await anext(stream)
        await stream.aclose()
        await asyncio.sleep(0.05)

    asyncio.run(run())
    assert ended
