"""Which processes of a private cluster stand behind the training workers."""

import os

import psutil
import pytest

from raylign.train.helpers import Helpers, is_observer

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("ray_cluster"),
    pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="idle work is Linux's"),
]


def _policies(process: psutil.Process) -> set[int]:
    return {os.sched_getscheduler(thread.id) for thread in process.threads()}


def _command(process: psutil.Process) -> list[str]:
    try:
        command: list[str] = process.cmdline()
    except psutil.Error:  # an actor of another test that ends just now
        return []
    return command


def test_actors_started_since_go_last_but_the_training_workers() -> None:
    import ray

    class Actor:
        def pid(self) -> int:
            return os.getpid()

    def start(name: str) -> tuple[object, psutil.Process]:
        actor = ray.remote(type(name, (Actor,), {})).options(num_cpus=0).remote()
        return actor, psutil.Process(ray.get(actor.pid.remote()))

    earlier = start("TrainController")
    helpers = Helpers()
    worker, controller = start("RayTrainWorker"), start("TrainController")
    needed_later = start("_AutoscalingCoordinatorActor")
    helpers.put_last()
    assert _policies(controller[1]) == {os.SCHED_IDLE}
    for _, process in (earlier, worker, needed_later):
        assert _policies(process) == {os.SCHED_OTHER}
    for actor, _ in (earlier, worker, controller, needed_later):
        ray.kill(actor)


def test_what_only_watches_goes_last_and_what_others_wait_for_does_not() -> None:
    Helpers().put_last()
    cluster = {process: _command(process) for process in psutil.Process().children(recursive=True)}
    watching = [process for process, command in cluster.items() if is_observer(command)]
    assert len(watching) >= 2, f"Ray's observers have other names now: {list(cluster.values())}"
    assert all(_policies(process) == {os.SCHED_IDLE} for process in watching)
    for name in ("raylet/raylet", "gcs/gcs_server", "ray::RuntimeEnvAgent"):
        needed = [process for process, command in cluster.items() if any(name in argument for argument in command)]
        assert needed, f"Ray's {name} has another name now: {list(cluster.values())}"
        assert all(_policies(process) == {os.SCHED_OTHER} for process in needed)
