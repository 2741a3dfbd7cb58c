"""Engines that die at their first step, each time, end the stage; Ray alone would start them for ever."""

import time

import pytest

from raylign.errors import ModelError
from raylign.facts import engine_restarts
from raylign.sample import death_watch
from raylign.sample.deaths import MOST_DEATHS

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def test_engines_that_die_without_end_end_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.data

    class vLLMEngineStageUDF:  # noqa: N801 - the name that ray.data.llm gives them
        def __call__(self, block: object) -> object:
            import os

            os._exit(1)  # as the one of ray.data.llm does when its engine is dead

    pool = ray.data.ActorPoolStrategy(size=1)
    outputs = ray.data.range(4).map_batches(vLLMEngineStageUDF, batch_size=1, compute=pool, num_cpus=1)
    monkeypatch.setattr(death_watch, "_SECONDS_BETWEEN_LOOKS", 0.2)
    began = time.monotonic()
    with (
        pytest.raises(ModelError, match=f"died [{MOST_DEATHS}-9] times.* without any draft") as caught,
        death_watch.ended_by_deaths(lambda: 0),
    ):
        list(outputs.iter_batches(batch_size=None))
    assert "EngineCore" in caught.value.cure
    assert time.monotonic() - began < 120
    deadline = time.monotonic() + 30
    while engine_restarts()[0] and time.monotonic() < deadline:
        time.sleep(0.5)
    assert engine_restarts()[0] == 0, "nothing goes on dying behind our back"
