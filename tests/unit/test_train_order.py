"""Order, shares, schedule and threads: what the number of workers must not change."""

import math

import pytest

from raylign.train.order import Plan, share
from raylign.train.schedule import learning_rate
from raylign.train.threads import threads_per_worker


def test_each_pair_comes_once_an_epoch_in_another_order() -> None:
    plan = Plan(pairs=22, batch_size=8, epochs=2, seed=5)
    assert (plan.steps_per_epoch, plan.steps) == (3, 6)
    epochs = [[index for step in steps for index in plan.batch(step)] for steps in (range(3), range(3, 6))]
    assert [sorted(epoch) for epoch in epochs] == [list(range(22))] * 2
    assert epochs[0] != epochs[1]
    assert [len(plan.batch(step)) for step in range(3)] == [8, 8, 6]


def test_the_seed_alone_decides_the_order() -> None:
    assert Plan(22, 8, 1, 5).batch(1) == Plan(22, 8, 3, 5).batch(1)
    assert Plan(22, 8, 1, 5).batch(1) != Plan(22, 8, 1, 6).batch(1)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("step", [0, 2])
def test_any_number_of_workers_trains_the_same_global_batch(workers: int, micro_batches: int, step: int) -> None:
    batch = Plan(pairs=22, batch_size=8, epochs=1, seed=5).batch(step)
    shares = [share(batch, rank, workers, micro_batches) for rank in range(workers)]
    assert sorted(index for parts in shares for part in parts for index in part) == sorted(batch)
    assert {len(parts) for parts in shares} == {micro_batches}  # all take part in every collective call
    largest = math.ceil(8 / workers / micro_batches)
    assert all(len(part) <= largest for parts in shares for part in parts)


def test_a_last_batch_smaller_than_the_workers_leaves_some_empty() -> None:
    assert [share([7, 3], rank, 4, 1) for rank in range(4)] == [[[7]], [[3]], [[]], [[]]]


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
def test_every_schedule_warms_up_to_its_peak(kind: str) -> None:
    rates = [learning_rate(step, 20, 1.0, 0.2, kind) for step in range(20)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert max(rates) == 1.0
    assert min(rates) > 0


def test_decay_by_hand() -> None:
    """4 steps without warm-up are 0, ¼, ½, ¾ of the way; cosine at ½ is ½ and at ¼ is ½(1 + cos 45°) = 0.853553."""
    assert [learning_rate(step, 4, 2.0, 0.0, "linear") for step in range(4)] == pytest.approx([2.0, 1.5, 1.0, 0.5])
    assert learning_rate(1, 4, 1.0, 0.0, "cosine") == pytest.approx(0.853553, abs=1e-6)
    assert learning_rate(2, 4, 1.0, 0.0, "cosine") == pytest.approx(0.5)
    assert [learning_rate(step, 4, 2.0, 0.0, "constant") for step in range(4)] == [2.0] * 4


def test_a_run_of_one_step_trains_at_its_peak() -> None:
    assert learning_rate(0, 1, 3.0, 0.1, "linear") == 3.0


@pytest.mark.parametrize(
    ("cores", "usable", "workers", "threads"), [(2, 2, 1, 2), (2, 2, 2, 1), (2, 2, 8, 1), (32, 64, 4, 8), (32, 8, 2, 4)]
)
def test_workers_of_a_host_fill_its_cores_once(cores: int, usable: int, workers: int, threads: int) -> None:
    assert threads_per_worker(cores, usable, workers) == threads
