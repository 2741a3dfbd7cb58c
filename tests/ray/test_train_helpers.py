"""Which processes of a private cluster stand behind the training workers."""

import os

import psutil
import pytest

from raylign.train.helpers import Helpers

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


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
    helpers.put_last()
    assert controller[1].nice() == 19
    assert earlier[1].nice() == worker[1].nice() < 19
    for actor, _ in (earlier, worker, controller):
        ray.kill(actor)
