"""Order, shares, schedule and threads: what the number of workers must not change."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from raylign.train.flops import ModelSize, pair_costs, training_flops, work_of_pair
from raylign.train.order import Plan, share
from raylign.train.packing import pack
from raylign.train.schedule import learning_rate
from raylign.train.tokens import TokenPair


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
@pytest.mark.parametrize("alike", [False, True])
def test_any_number_of_workers_trains_the_same_global_batch(
    workers: int, micro_batches: int, step: int, alike: bool
) -> None:
    batch = Plan(pairs=22, batch_size=8, epochs=1, seed=5).batch(step)
    costs = [100.0 + 37 * (index * 7 % 22) for index in range(22)]
    shares = [share(batch, costs, rank, workers, micro_batches, alike) for rank in range(workers)]
    assert sorted(index for parts in shares for part in parts for index in part) == sorted(batch)
    assert {len(parts) for parts in shares} == {micro_batches}  # all take part in every collective call
    largest = math.ceil(8 / workers / micro_batches)
    assert all(len(part) <= largest for parts in shares for part in parts)


def test_a_last_batch_smaller_than_the_workers_leaves_some_empty() -> None:
    shares = [share([7, 3], [1.0] * 8, rank, 4, 1) for rank in range(4)]
    assert sorted(part for parts in shares for part in parts) == [[], [], [3], [7]]


SIZE = ModelSize(body=10**8, body_trained=10**8, head=3 * 10**7, head_trained=3 * 10**7, attention=17_000)


def lognormal_pairs(count: int) -> list[TokenPair]:
    """Pairs with lengths as in published preference data: median 120 prompt and 200 answer tokens, long tails."""
    draw = np.random.default_rng(7)
    prompts = np.maximum(1, draw.lognormal(math.log(120), 0.8, count).astype(int))
    answers = np.maximum(1, draw.lognormal(math.log(200), 0.7, (count, 2)).astype(int))
    return [
        TokenPair(str(index), (1,) * int(prompt), (2,) * int(chosen), (3,) * int(rejected))
        for index, (prompt, (chosen, rejected)) in enumerate(zip(prompts, answers, strict=True))
    ]


@pytest.mark.parametrize(
    ("batch_size", "workers", "micro_batches", "most"),
    [(8, 2, 1, 1.05), (16, 2, 2, 1.05), (64, 2, 4, 1.01), (64, 8, 4, 1.05), (64, 8, 1, 1.05)],
)
def test_workers_get_about_the_same_number_of_tokens_in_every_step(
    batch_size: int, workers: int, micro_batches: int, most: float
) -> None:
    """The time that waiting costs: over an epoch, each step's busiest worker, summed, over the mean of all workers."""
    pairs = lognormal_pairs(800)
    work = [work_of_pair(pair, "shared") for pair in pairs]
    costs = [training_flops(SIZE, one) for one in work]
    plan = Plan(len(pairs), batch_size, epochs=1, seed=0)

    def imbalance(deal: Callable[[list[int], int], list[list[int]]]) -> float:
        busiest = mean = 0.0
        for step in range(plan.steps):
            batch = plan.batch(step)
            dealt = [[index for part in deal(batch, rank) for index in part] for rank in range(workers)]
            tokens = [sum(work[index].tokens for index in mine) for mine in dealt]
            assert sorted(index for mine in dealt for index in mine) == sorted(batch)
            busiest, mean = busiest + max(tokens), mean + sum(tokens) / workers
        return busiest / mean

    assert imbalance(lambda batch, rank: share(batch, costs, rank, workers, micro_batches)) <= most
    assert imbalance(lambda batch, rank: [batch[rank::workers]]) > 1.04  # dealt in turn, as lengths happen to fall


def test_micro_batches_that_run_at_the_same_time_cost_about_the_same() -> None:
    costs = [1.0, 9.0, 8.0, 2.0, 5.0, 5.1, 4.0, 6.0]
    shares = [share(list(range(8)), costs, rank, 2, 4) for rank in range(2)]
    for first, second in zip(*shares, strict=True):
        assert costs[first[0]] == pytest.approx(costs[second[0]], abs=1.0)


def test_rows_that_are_padded_lie_with_rows_of_like_length() -> None:
    costs = [1.0, 9.0, 8.0, 2.0, 5.0, 5.1, 4.0]
    assert share(range(7), costs, 0, 1, 3, alike=True) == [[1, 2], [5, 4], [6, 3, 0]]


@pytest.mark.parametrize(("batch_size", "micro_batches", "most"), [(8, 2, 0.86), (64, 8, 0.65)])
def test_padding_falls_where_like_lengths_lie_together(batch_size: int, micro_batches: int, most: float) -> None:
    """Tokens of padded rows over an epoch of one worker, over those of micro-batches that cost about the same."""
    pairs = lognormal_pairs(800)
    costs = pair_costs(pairs, SIZE, "padded")
    plan = Plan(len(pairs), batch_size, epochs=1, seed=0)

    def tokens(alike: bool) -> int:
        dealt = [share(plan.batch(step), costs, 0, 1, micro_batches, alike) for step in range(plan.steps)]
        return sum(pack([pairs[at] for at in part], "padded").token_ids_RT.numel() for parts in dealt for part in parts)

    assert tokens(alike=True) <= most * tokens(alike=False)


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
