"""Health: true only where every model answers, and cheap for those who ask often."""

import asyncio

from raylign.serve.health import SECONDS_BETWEEN_PROBES, Health


def test_every_model_must_answer_and_an_error_is_no_answer() -> None:
    async def answers(model: str) -> bool:
        if model == "broken":
            raise RuntimeError("engine died")
        return model != "silent"

    assert asyncio.run(Health(["base", "aligned"], answers).good())
    assert not asyncio.run(Health(["base", "broken"], answers).good())
    assert not asyncio.run(Health(["base", "silent"], answers).good())


def test_a_hundred_who_ask_cost_one_probe_and_a_later_one_asks_anew() -> None:
    now, asked = [0.0], []

    async def answers(model: str) -> bool:
        asked.append(model)
        await asyncio.sleep(0.01)
        return len(asked) == 1

    async def run() -> None:
        health = Health(["base"], answers, clock=lambda: now[0])
        assert all(await asyncio.gather(*(health.good() for _ in range(100))))
        assert await health.good()
        assert asked == ["base"]
        now[0] += SECONDS_BETWEEN_PROBES
        assert not await health.good()
        assert len(asked) == 2

    asyncio.run(run())


def test_one_who_hangs_up_does_not_end_the_probe_of_the_others() -> None:
    async def answers(model: str) -> bool:
        await asyncio.sleep(0.05)
        return True

    async def run() -> None:
        health = Health(["base"], answers)
        first, second = asyncio.create_task(health.good()), asyncio.create_task(health.good())
        await asyncio.sleep(0.01)
        first.cancel()
        assert await second

    asyncio.run(run())
