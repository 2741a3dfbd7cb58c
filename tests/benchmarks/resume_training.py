"""Training that is killed, resized and saved all the while, against runs that nothing disturbs; fp32 on CPU.

1. Kills: SIGKILL to the training worker at random steps; Ray Train starts another, which goes on from the newest
   checkpoint. Masters and moments of the last checkpoint must equal those of an undisturbed run bit for bit.
2. Elastic: a run on a Ray of one node. A second one joins: two workers. Then it is taken away after a notice, as a
   cloud does with a spot machine: one worker. Each pair must count once an epoch, each step's loss must stay that of
   one worker all along, and the notice must have led to a checkpoint.
3. Stall: how much longer training takes for checkpoints every 20 steps, against the steps of the same run that come
   long after one. It includes what writing in the background costs the steps meanwhile.

    python tests/benchmarks/resume_training.py [--quick] [--part NAME …] [--out FILE.json]
"""

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from bench import ROOT, Part, add_part, at_least, at_most, finish, local_ray, measure_parts, options
from random_model import random_llama
from training_run import Killer, checkpoint_tensors, metrics, starts, steps, train

LARGE = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 6}
"""Of the model whose checkpoints are timed."""
STALL_EVERY = 20
QUIET_AFTER = 10
"""Steps after a checkpoint from which on nothing of it is left to write."""


def kills(root: Path, model: Path, count: int) -> Part:
    """The undisturbed run and the one under fire."""
    settings = [f"train.epochs={2 + count}", f"train.max_failures={count}", "train.learning_rate=1e-4"]
    with local_ray():
        train(root / "still", model, *settings, pairs=60)
        killer = Killer(root / "fire", [random.randint(1, 14) for _ in range(count)])
        figures = train(root / "fire", model, *settings, pairs=60)
    last = figures["steps"]
    expected, found = (checkpoint_tensors(root / name, last) for name in ("still", "fire"))
    differ = [name for name in expected if not torch.equal(expected[name], found.get(name, torch.empty(0)))]
    resumed = [start["step"] for start in starts(root / "fire")][1:]
    lost = [killed - start for killed, start in zip(killer.killed_at, resumed, strict=False)]
    measured = [
        at_least("workers killed", float(len(killer.killed_at)), count),
        at_least("tensors compared", float(len(expected)), 1),
        at_most("tensors that differ from the undisturbed run", float(len(differ)), 0),
    ]
    return measured, {
        "kills": {"steps": last, "killed_at": killer.killed_at, "resumed_from": resumed, "steps_done_again": lost}
    }


@contextmanager
def growing_ray() -> Iterator[Any]:
    """A Ray of one node with room for one worker, to which nodes can be added."""
    import ray
    from ray.cluster_utils import Cluster

    from raylign.session import prepare_environment

    folder = tempfile.mkdtemp(prefix="rb-", dir="/tmp")
    prepare_environment()
    os.environ["RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S"] = "1"
    os.environ["RAY_TMPDIR"] = folder  # Cluster notes its address in `ray` therein, whatever its temp_dir
    environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 4, "temp_dir": f"{folder}/ray", "include_dashboard": False}
    )
    try:
        ray.init(cluster.address, log_to_driver=False, logging_level="WARNING", runtime_env=environment)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        del os.environ["RAY_TMPDIR"]
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(path: Path, workers: int, start: int, steps_more: int) -> int:
    """Wait until the given start of the run, with so many workers, has logged so many steps; returns the last one."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        time.sleep(0.1)
        begun = starts(path)
        if len(begun) > start and len(begun[start]["workers"]) == workers:
            lines = metrics(path)
            at = [index for index, line in enumerate(lines) if line.get("event") == "start"][start]
            done = [line["step"] for line in lines[at:] if "event" not in line]
            if len(done) >= steps_more:
                return int(done[-1])
    raise TimeoutError(f"start {start} with {workers} workers does not come")


def grow_and_shrink(cluster: Any, path: Path, found: dict[str, Any]) -> None:
    """Add a node and, once two workers train, give notice of its end and end it."""
    wait_for(path, 1, 0, 3)
    node = cluster.add_node(num_cpus=4)
    wait_for(path, 2, 1, 5)
    found["notice_at_step"] = steps_logged(path)
    command = [
        *(str(Path(sys.executable).with_name("ray")), "drain-node", "--address", cluster.address),
        *("--node-id", node.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "benchmark"),
        *("--deadline-remaining-seconds", "12"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    time.sleep(12)
    cluster.remove_node(node)


def steps_logged(path: Path) -> int:
    """The last step of the newest start."""
    return int([line["step"] for line in metrics(path) if "event" not in line][-1])


def elastic(root: Path, model: Path, epochs: int, pairs: int = 1000) -> Part:
    """One worker all along, and 1 → 2 → 1 as the cluster grows and shrinks."""
    path, found = root / "elastic", {}
    settings = [f"train.epochs={epochs}", "train.checkpoint_every=50", "train.cpus_per_worker=4"]
    settings += ["train.learning_rate=1e-5"]
    with growing_ray() as cluster:
        train(root / "one", model, *settings, pairs=pairs)
        settings += ["train.workers_max=2", "train.resize_seconds=3"]
        with ThreadPoolExecutor(1) as aside:  # for the training: Ray starts nodes in the main thread only
            training = aside.submit(train, path, model, *settings, pairs=pairs)
            grow_and_shrink(cluster, path, found)
            training.result()
    expected, seen = steps(root / "one"), steps(path)
    counted = final_state(path, max(expected))["meter"]["pairs"]
    saved = [line["step"] for line in metrics(path) if line.get("event") == "checkpoint"]
    noticed = [step for step in saved if step % 50 and step != max(expected)]
    sizes = [len(start["workers"]) for start in starts(path)]
    measured = [
        at_least("workers went 1 → 2 → 1", float(sizes == [1, 2, 1]), 1),
        at_most("pairs beyond or short of once an epoch", float(abs(counted - pairs * epochs)), 0),
        at_most("steps missing", float(len(expected.keys() ^ seen.keys())), 0),
        at_most(
            "largest difference of a step's loss",
            max(abs(seen[at]["loss"] - expected[at]["loss"]) for at in expected),
            1e-4,
        ),
        at_least("checkpoints that the notice led to", float(len(noticed)), 1),
    ]
    begun = [start["step"] for start in starts(path)]
    return measured, {"elastic": {**found, "workers": sizes, "starts": begun, "extra": noticed}}


def final_state(path: Path, step: int) -> dict[str, Any]:
    """What the trainer kept in its last checkpoint."""
    from raylign.train.checkpoint import SavedCheckpoint

    return SavedCheckpoint(path / "train" / "ray" / f"step-{step:08d}").trainer


def stall(root: Path, model: Path, epochs: int) -> Part:
    """What checkpoints cost the steps."""
    settings = [f"train.epochs={epochs}", f"train.checkpoint_every={STALL_EVERY}", "train.evaluate_every=100000"]
    with local_ray():
        train(root / "stall", model, *settings, "train.learning_rate=1e-5", pairs=40)
    lines = metrics(root / "stall")
    seconds = {line["step"]: line["seconds"] for line in lines if "event" not in line and line["step"] > STALL_EVERY}
    standing = [line["seconds"] for line in lines if line.get("event") == "checkpoint" and line["step"] > STALL_EVERY]
    quiet = statistics.median(value for step, value in seconds.items() if (step - 1) % STALL_EVERY >= QUIET_AFTER)
    busy = statistics.median(
        sum(seconds[at] for at in range(first, first + STALL_EVERY))
        for first in range(STALL_EVERY + 1, max(seconds) - STALL_EVERY + 2, STALL_EVERY)
    )
    share = (busy + statistics.median(standing)) / (STALL_EVERY * quiet) - 1
    details = {"step_seconds": quiet, "standing_seconds": standing, "periods": len(standing)}
    return [at_most("time that checkpoints cost, as a share of the steps", share, 0.05)], {"stall": details}


def main() -> None:
    """The three parts, in turn."""
    arguments = options(__doc__, add_part)
    random.seed(11)
    with tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as folder:
        root = Path(folder)
        small, large = random_llama(root / "small"), random_llama(root / "large", **LARGE)
        known: dict[str, Callable[[], Part]] = {
            "kills": lambda: kills(root, small, 3 if arguments.quick else 20),
            "elastic": lambda: elastic(root, small, 4),
            "stall": lambda: stall(root, large, 10 if arguments.quick else 20),
        }
        figures, details = measure_parts(arguments, known)
    finish(arguments, figures, details)


if __name__ == "__main__":
    main()
