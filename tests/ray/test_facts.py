"""What a real Ray says of what is not there yet: a place that it lacks, and an actor that takes long to start."""

import time
from collections.abc import Callable, Iterator

import pytest

from raylign.facts import cluster_waits, reviser_waits
from raylign.revise.limiter import Ask, Limits
from raylign.revise.limiter_actor import start_limiter

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture
def slow_actor() -> Iterator[object]:
    import ray

    class Slow:  # made here, so that it travels to the worker by value: no worker can import a test
        """Takes as long to start as an engine that loads its weights."""

        def __init__(self, seconds: float) -> None:
            time.sleep(seconds)

        def ready(self) -> bool:
            """Answers once it has started."""
            return True

    actor = ray.remote(num_cpus=1)(Slow).remote(8.0)
    yield actor
    ray.kill(actor)


def until(holds: Callable[[str], bool], seconds: float = 20.0) -> str:
    """What the cluster waits for, as soon as it is what is expected, or at last."""
    deadline = time.monotonic() + seconds
    while not holds(words := cluster_waits()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return words


def test_a_placement_group_that_finds_no_gpu_is_named() -> None:
    from ray.util import placement_group, remove_placement_group

    group = placement_group([{"CPU": 1, "GPU": 1}])
    try:
        words = until(lambda words: "placement group" in words)
    finally:
        remove_placement_group(group)
    assert words.startswith("1 placement group waits for room (1 CPU and 1 GPU); free: 0 of 0 GPU, ")
    assert until(lambda words: not words) == ""


def test_an_actor_that_loads_is_named_until_it_has_started(slow_actor: object) -> None:
    import ray

    words = until(lambda words: "Slow" in words)
    assert words.startswith("1 actor is still starting (Slow); free: ")
    assert ray.get(slow_actor.ready.remote(), timeout=60)  # type: ignore[attr-defined]
    assert until(lambda words: not words) == ""


def test_the_limiter_says_what_requests_wait_for() -> None:
    import ray

    limiter = start_limiter(Limits(requests_per_minute=1, tokens_per_minute=1e9))
    try:
        ray.get(limiter.exchange.remote([], [Ask(10), Ask(10)]))
        assert "the request limit (revise.requests_per_minute" in reviser_waits(limiter, None)
    finally:
        ray.kill(limiter)
