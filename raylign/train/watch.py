"""Watches a run's steps: counts what they take, and stops a run whose numbers have gone wrong. This acts."""

from collections.abc import Mapping
from pathlib import Path

from raylign.config.training import TrainConfig
from raylign.errors import TrainingError
from raylign.run_folder import write_json
from raylign.train.device import measure_flops_per_second, peak_bytes
from raylign.train.engine import Engine
from raylign.train.flops import Work, training_flops, work_of
from raylign.train.guard import Guard, Offence
from raylign.train.meter import Load
from raylign.train.model_loading import DTYPES
from raylign.train.packing import Batch
from raylign.train.state import State


class Watch:
    """One worker's; every method but `count` and `begin` is called by all workers together."""

    def __init__(self, engine: Engine, train: TrainConfig, state: State, offence_path: Path) -> None:
        """Start to watch.

        Args:
            state: the run's, whose `meter` and `norms` are kept up to date here.
            offence_path: where the pairs of a step that stops the run are kept.
        """
        self.engine, self.meter, self.offence_path = engine, state.meter, offence_path
        self.guard = Guard(train.max_gradient_jump, train.max_gradient_norm, state.norms)
        self.work = Work()
        self.peak_from = "config" if train.peak_tflops else "measured"
        self.peak_flops_per_second = (train.peak_tflops or 0.0) * 1e12 or self._measured_peak()

    def begin(self) -> None:
        """A step begins."""
        self.work = Work()

    def count(self, batch: Batch) -> None:
        """A micro-batch passes forward and backward."""
        self.work += work_of(batch)

    def check_losses(self, step: int, losses: Mapping[str, float]) -> None:
        """Before the weights change: stop over a loss, by pair id, that is not finite; steps count from 1 here.

        Raises:
            TrainingError: names the file with the pairs.
        """
        self._refuse(self.guard.look_at_losses(step, losses))

    def end(self, step: int, losses: Mapping[str, float], seconds: float) -> None:
        """A step has ended after so many seconds; stop over a gradient that has exploded.

        Raises:
            TrainingError: names the file with the pairs.
        """
        flops = training_flops(self.engine.size, self.work)
        slices = self.engine.sequence_parallel  # those of one row count all of it, each
        load = Load(self.work.tokens / slices, flops / slices, peak_bytes(self.engine.engine.device))
        self.meter.add(len(losses), self.engine.gather(load), seconds)
        self._refuse(self.guard.look_at_gradient(step, self.engine.gradient_norm, losses))

    def figures(self) -> dict[str, float]:
        """As `Meter.figures`."""
        return self.meter.figures(self.peak_flops_per_second)

    def _measured_peak(self) -> float:
        """The mean over workers, which all measure now: those of one host share its cores."""
        mine = measure_flops_per_second(self.engine.engine.device, DTYPES[self.engine.products])
        return float(sum(self.engine.gather(mine))) / self.engine.workers

    def _refuse(self, offence: Offence | None) -> None:
        if offence is None:
            return
        if self.engine.rank == 0:
            write_json(self.offence_path, offence.as_json())
        raise TrainingError(
            f"training stopped at step {offence.step}: {offence.reason}; its pairs are in {self.offence_path}",
            "look at these pairs and remove them, or lower train.learning_rate",
        )
