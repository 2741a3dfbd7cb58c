"""Whether every model answers, asked at most so often; pure but for the asking, which is an argument."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

SECONDS_BETWEEN_PROBES = 10.0
"""Anybody may ask, so asking often must cost nothing."""
SECONDS_OF_A_PROBE = 60.0
"""A model that is busy with a full batch answers late and is well."""


class Health:
    """The models' health, found by letting each answer one token; those who ask meanwhile wait for the same answer."""

    def __init__(
        self,
        models: Sequence[str],
        answers: Callable[[str], Awaitable[bool]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models, self._answers, self._clock = models, answers, clock
        self._probe: asyncio.Task[bool] | None = None
        self._found_at = float("-inf")

    async def good(self) -> bool:
        """Whether all of them answer, or did a moment ago."""
        old = self._probe is None or (self._probe.done() and self._clock() - self._found_at >= SECONDS_BETWEEN_PROBES)
        if old:
            self._probe = asyncio.create_task(self._ask_all())
        assert self._probe is not None
        return await asyncio.shield(self._probe)

    async def _ask_all(self) -> bool:
        found = await asyncio.gather(*(self._ask(model) for model in self._models))
        self._found_at = self._clock()
        return all(found)

    async def _ask(self, model: str) -> bool:
        try:
            return await asyncio.wait_for(self._answers(model), SECONDS_OF_A_PROBE)
        except Exception:  # whatever kept it from answering, it did not answer
            return False
