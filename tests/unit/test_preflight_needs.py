"""Stages that a private local cluster can never place are refused with their keys and the cure."""

import pytest

from raylign.config import LoopConfig, load_config
from raylign.errors import PlanError
from raylign.preflight.needs import Need, check_room, need_of


def need(stage: str, *overrides: str) -> Need:
    found = need_of(stage, load_config(None, list(overrides)))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("stage", "overrides", "cpus", "gpus"),
    [
        ("sample", [], 1 + 1, 0),
        ("sample", ["sample.engines_min=3", "sample.engines_max=3", "sample.cpus_per_engine=2"], 3 * 2 + 1, 0),
        ("sample", ["sample.gpus_per_engine=4"], 4 + 1, 4),
        ("revise", ["revise.base_url=http://x/v1", "revise.model=m", "revise.actors_max=4"], 0.5, 0),
        ("revise", [], 0.5 + 0.5 + 1, 0),
        ("revise", ["serve.gpus_per_replica=2"], 0.5 + 0.5 + 1, 2),
        ("overlap", ["revise.base_url=http://x/v1", "revise.model=m", "sample.gpus_per_engine=2"], 2 + 1 + 0.5, 2),
        ("train", ["train.workers=4", "train.batch_size=32"], 8, 0),
        ("train", ["train.workers=8", "train.batch_size=64", "train.gpus_per_worker=1"], 16, 8),
        ("evaluate", [], 0.5 + 2 + 0.5, 0),
        ("evaluate", ["evaluate.base_url=http://x/v1"], 1, 0),
        ("evaluate", ["serve.replicas_min=2", "serve.replicas_max=2", "serve.gpus_per_replica=1"], 0.5 + 4 + 0.5, 4),
    ],
)
def test_a_stage_needs_what_its_smallest_pool_holds(stage: str, overrides: list[str], cpus: float, gpus: float) -> None:
    found = need(stage, *overrides)
    assert (found.cpus, found.gpus) == (cpus, gpus)


def test_stages_without_ray_need_nothing() -> None:
    assert need_of("prompts", LoopConfig()) is None
    assert need_of("pairs", LoopConfig()) is None


def test_the_default_configuration_has_room() -> None:
    needs = [need(stage) for stage in ("sample", "revise", "train", "evaluate")]
    assert max(each.cpus for each in needs) <= LoopConfig().cluster.local_cpus
    assert max(each.gpus for each in needs) == 0


@pytest.mark.parametrize(
    ("stage", "overrides", "named"),
    [
        (
            "sample",
            ["sample.cpus_per_engine=8"],
            ["9 logical CPUs", "local_cpus is 8", "local_cpus=9", "engines_min=1"],
        ),
        ("revise", ["revise.actors_min=20", "revise.actors_max=20"], ["revise.actors_min=20", "local_cpus=12"]),
        ("train", ["train.workers=5", "train.batch_size=40"], ["training needs 10", "train.workers=5"]),
        (
            "evaluate",
            ["serve.threads_per_replica=6"],
            ["evaluating needs 13", "evaluate.actors_min=1", "local_cpus=13"],
        ),
    ],
)
def test_too_few_cpus_are_named_with_the_number_that_suffices(
    stage: str, overrides: list[str], named: list[str]
) -> None:
    with pytest.raises(PlanError) as refused:
        check_room(need(stage, *overrides), 8, 0)
    for words in named:
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("stage", "overrides", "cure"),
    [
        ("sample", ["sample.gpus_per_engine=1"], "sample.gpus_per_engine=0"),
        ("train", ["train.gpus_per_worker=1"], "train.gpus_per_worker=0"),
        ("evaluate", ["serve.gpus_per_replica=1"], "serve.gpus_per_replica=0"),
    ],
)
def test_gpus_without_any_are_refused_with_both_cures(stage: str, overrides: list[str], cure: str) -> None:
    with pytest.raises(PlanError) as refused:
        check_room(need(stage, *overrides), 8, 0)
    for words in (cure, "cluster.address", "RAY_ADDRESS", "this machine has 0"):
        assert words in str(refused.value)


def test_a_machine_whose_gpus_cannot_be_counted_is_given_the_benefit_of_the_doubt() -> None:
    wanted = need("sample", "sample.gpus_per_engine=1")
    with pytest.raises(PlanError):
        check_room(wanted, 8, 0)
    check_room(wanted, 8, None)
