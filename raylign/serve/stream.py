"""When parts of a streamed answer are sent on: the first at once, later ones in groups; pure but for the clock.

Every message between Ray's processes costs about as much as computing a small model's token, so tokens that come
faster than a person reads travel together. ray.serve.llm's own grouping holds the first token back as well.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")

PARTS_AT_ONCE = 3
"""Groups that go without delay: a chat's first part names the role, the next is the first token."""


async def grouped(parts: AsyncIterator[T], seconds: float) -> AsyncGenerator[list[T], None]:
    """The parts in groups, at most one group every so many seconds once the first have gone; none is lost.

    A part that comes later than `seconds` after the last group goes at once, so a slow stream is not slowed down.
    What `parts` raises is raised here, after the parts that came before it.
    """
    loop = asyncio.get_running_loop()
    waiting: list[T] = []
    came = asyncio.Event()

    async def read() -> None:
        try:
            async for part in parts:
                waiting.append(part)
                came.set()
        finally:
            came.set()

    reader = asyncio.create_task(read())
    sent, last = 0, loop.time()
    try:
        while True:
            await came.wait()
            pause = last + seconds - loop.time()
            if sent >= PARTS_AT_ONCE and pause > 0 and not reader.done():
                await asyncio.wait([reader], timeout=pause)
            came.clear()
            group, waiting[:] = waiting[:], []
            if group:
                sent, last = sent + 1, loop.time()
                yield group
            if reader.done() and not waiting:
                reader.result()
                return
            if reader.done():
                came.set()
    finally:
        reader.cancel()
