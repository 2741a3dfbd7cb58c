"""The Ray Train worker: reference pass, steps, evaluations, checkpoints, export. This acts, by rules kept elsewhere."""

import os
import socket
import time
from dataclasses import asdict
from typing import Any

import ray.train

from raylign.config.load import to_yaml
from raylign.errors import RaylignError, TrainingError
from raylign.model import resolve_model
from raylign.run_folder import RunFolder, write_json
from raylign.train.allocator import FreeMemory, allocator_in_use, give_back
from raylign.train.baseline import mismatched, z_ref
from raylign.train.early_stop import should_stop
from raylign.train.engine import Engine
from raylign.train.export import write_model
from raylign.train.figures import (
    final_loss,
    heldout_figures,
    likelihood_movement,
    losses_of,
    means_of,
    rounded,
    rows_by_id,
)
from raylign.train.flops import pair_costs
from raylign.train.job import Job
from raylign.train.objectives import Objective, PairLogps, pair_metrics
from raylign.train.order import Plan, share
from raylign.train.reference import AnswerLogps, check_first_step
from raylign.train.reference_cache import ReferenceCache
from raylign.train.saving import Checkpoints
from raylign.train.schedule import learning_rate
from raylign.train.state import State
from raylign.train.tokens import TokenPair
from raylign.train.watch import Watch


def train_worker(settings: dict[str, Job]) -> dict[str, Any]:
    """The function each Ray Train worker runs; returns the figures, or {"refused": [message, cure]}.

    A refusal is returned and not raised, because Ray Train would start the run again from its last checkpoint and fail
    the same way. Checks look at values gathered from all workers, so all of them refuse together.
    """
    try:
        return _Training(settings["job"]).run()
    except RaylignError as error:
        return {"refused": [error.message, error.cure]}


class _Training:
    def __init__(self, job: Job) -> None:
        self.job, self.train = job, job.config.train
        self.pairs, self.heldout = job.load_tokens("train"), job.load_tokens("heldout")
        self.plan = Plan(len(self.pairs), self.train.batch_size, self.train.epochs, job.config.seed)
        self.note("loading", 0, self.plan.steps)
        self.model = resolve_model(job.model)
        self.engine = Engine(self.model, job.config, ray.train.get_context().get_local_world_size())
        self.checkpoints = Checkpoints(self.engine, job.checkpoints_folder)
        self.objective = Objective.of(self.train)
        self.mismatched = mismatched(self.pairs) if self.objective.needs_baseline else []
        self.cache = ReferenceCache(self.engine, job, self.model)
        self.key, self.reference = self.find_reference([*self.pairs, *self.heldout])
        if self.mismatched:  # kept apart, so that other objectives on the same pairs share the rest
            self.reference |= self.find_reference(self.mismatched)[1]
        self.state = self.restore() or State(self.key, to_yaml(job.config))
        self.evaluated: tuple[int, dict[str, float | int]] = (-1, {})
        self.costs = pair_costs(self.pairs, self.engine.size, self.engine.layout)
        self.watch = Watch(self.engine, self.train, self.state, job.offence_path)
        self.free_memory = FreeMemory()
        give_back()  # what loading and reference pass have left

    def run(self) -> dict[str, Any]:
        self.log(
            event="start",
            step=len(self.state.losses),
            layout=self.engine.layout,
            layout_reason=self.engine.chosen.reason,
            peak_tflops=self.watch.peak_flops_per_second / 1e12,
            peak_from=self.watch.peak_from,
            allocator=allocator_in_use(),
            workers=self.engine.gather({"host": socket.gethostname(), "pid": os.getpid()}),
        )
        begun = len(self.state.losses)
        while (done := len(self.state.losses)) < self.plan.steps and not self.is_enough():
            self.step(done)
            if done + 1 < self.plan.steps:
                self.after_step(done + 1)
        heldout = self.evaluate(done)
        if begun < done:  # a run that is stopped from here on has nothing to do again
            self.checkpoint(done, heldout)
        exported, heldout = self.choose(done, heldout)
        self.export(exported, heldout)
        return {
            "objective": str(self.objective),
            "steps": done,
            "stopped_early": done < self.plan.steps,
            "exported_step": exported,
            "products": self.engine.products,
            "layout": self.engine.layout,
            "pairs": len(self.pairs),
            "loss_first": self.state.losses[0],
            "loss_last": final_loss(self.state.losses),
            **rounded(self.watch.figures()),
            **self.cache.figures(),
            "heldout": rounded(heldout),
        }

    def after_step(self, done: int) -> None:
        """Evaluate and save where it is time to; a node's notice is answered at once, without an evaluation."""
        noticed = self.checkpoints.due_to_notice()
        due = done % self.train.checkpoint_every == 0
        figures: dict[str, float | int] = {}
        if done % self.train.evaluate_every == 0 or (due and self.train.keep_best):
            figures = self.evaluate(done)
        if due or noticed:
            self.checkpoint(done, figures)

    def is_enough(self) -> bool:
        """Whether `train.early_stop` ends the run here; all workers see the same figures."""
        metric, patience = self.train.early_stop, self.train.early_stop_patience
        return metric is not None and should_stop(self.state.heldout, metric, patience)

    def choose(self, done: int, heldout: dict[str, float | int]) -> tuple[int, dict[str, Any]]:
        """The step whose weights are exported, taken up again if it is not the last, and its held-out figures."""
        metric = self.train.keep_best
        if metric is None:
            self.checkpoints.settled()
            return done, heldout
        saved, figures = self.checkpoints.best(metric)
        step = int(figures["step"])
        if step != done:
            self.engine.restore(saved, self.pairs[:1])
        return step, {name: figures[name] for name in heldout}

    def find_reference(self, pairs: list[TokenPair]) -> tuple[str, dict[str, AnswerLogps]]:
        """The key of these pairs under the reference, and their log-probabilities, computed where none are stored."""
        return self.cache.find(pairs, lambda done: self.note("reference", done, len(pairs)))

    def step(self, step: int) -> None:
        started = time.perf_counter()
        batch = self.plan.batch(step)
        rate = learning_rate(
            step, self.plan.steps, self.train.learning_rate, self.train.warmup_share, self.train.schedule
        )
        self.engine.set_learning_rate(rate)
        baseline = self.baseline(batch)
        self.watch.begin()
        engine = self.engine
        padded = engine.layout == "padded"
        parts = share(batch, self.costs, engine.row_rank, engine.row_workers, engine.micro_batches, alike=padded)
        rows: dict[str, dict[str, float]] = {}
        for number, part in enumerate(parts, start=1):
            rows.update(self.micro_step([self.pairs[index] for index in part], len(batch), baseline))
            if number == len(parts):
                rows = {id_: row for found in self.engine.gather(rows) for id_, row in found.items()}
                self.check(rows, step)
                self.engine.check_gradients()
            self.engine.engine.step()
        self.free_memory.after_step()
        means = means_of(rows.values())
        if self.objective.needs_baseline:
            means["kl/z_ref"] = baseline
        self.state.losses.append(self.objective.preference_loss(means))
        seconds = time.perf_counter() - started
        self.watch.end(step + 1, losses_of(rows), seconds)
        self.note("steps", step + 1, self.plan.steps, f"loss {self.state.losses[-1]:.3f}")
        if (step + 1) % self.train.log_every == 0 or step == 0:
            figures = {"gradient_norm": self.engine.gradient_norm, "seconds": seconds, **self.watch.figures()}
            self.log(step=step + 1, **means, learning_rate=rate, **figures)

    def baseline(self, batch: list[int]) -> float:
        """z_ref of the step's global batch in nats, by a forward pass of its own; 0 where no loss has such a term."""
        if not self.objective.needs_baseline:
            return 0.0
        pairs = [self.mismatched[index] for index in batch]
        return z_ref(pairs, self.engine.score(pairs), self.reference)

    def micro_step(self, pairs: list[TokenPair], global_pairs: int, baseline: float) -> dict[str, dict[str, float]]:
        """Forward and backward of one micro-batch; loss and metrics of each pair by id."""
        batch = self.engine.batch(pairs or self.pairs[:1])
        chosen_B, rejected_B = self.engine.engine(batch)
        if not pairs:  # an incomplete last batch: the pass is needed by the other workers, its gradient is zero
            self.engine.engine.backward((chosen_B.sum() + rejected_B.sum()) * 0.0, scale_wrt_gas=False)
            return {}
        self.watch.count(batch)
        logps = PairLogps.of(pairs, chosen_B, rejected_B, self.reference)
        losses = self.objective.losses(logps, baseline)
        # DeepSpeed divides by the number of workers; the mean is over the global batch.
        self.engine.engine.backward(losses["loss"].sum() * self.engine.workers / global_pairs, scale_wrt_gas=False)
        figures = {name: column.detach() for name, column in losses.items()}
        return rows_by_id(pairs, figures | pair_metrics(logps, self.train.beta))

    def check(self, rows: dict[str, dict[str, float]], step: int) -> None:
        self.watch.check_losses(step + 1, losses_of(rows))
        if step == 0:
            sides = ("chosen", "rejected")
            check_first_step(
                {
                    id_: {
                        side: (row[f"logps/{side}"], logp)
                        for side, logp in zip(sides, self.reference[id_], strict=True)
                        if f"logps/{side}" in row
                    }
                    for id_, row in rows.items()
                },
                self.engine.products,
            )

    def evaluate(self, done: int) -> dict[str, float | int]:
        """Held-out figures after so many steps; asked for again at the same step, they are the same."""
        if self.evaluated[0] == done:
            return self.evaluated[1]
        scores = self.engine.score(self.heldout, lambda at: self.note("held-out", at, len(self.heldout)))
        figures = heldout_figures(self.heldout, scores, self.reference, self.objective)
        figures |= likelihood_movement(self.heldout, scores, self.reference)
        self.log(event="heldout", step=done, **figures)
        metric = self.train.early_stop
        if metric is not None and metric in figures:
            self.state.heldout.append(figures[metric])
        self.evaluated = done, figures
        give_back()
        return figures

    def checkpoint(self, done: int, figures: dict[str, float | int]) -> None:
        seconds = self.checkpoints.save(done, asdict(self.state), figures)
        self.log(event="checkpoint", step=done, seconds=seconds)

    def restore(self) -> State | None:
        saved = self.checkpoints.newest()
        if saved is None:
            return None
        state = State(**saved.trainer)
        if otherwise := state.of_another_run(self.key, to_yaml(self.job.config)):
            raise TrainingError(
                f"the checkpoint in this run folder was trained {otherwise}",
                "name a new folder with --out, or delete the run's train folder",
            )
        self.engine.restore(saved, self.pairs[:1])
        return state

    def export(self, step: int, heldout: dict[str, Any]) -> None:
        self.note("export", self.plan.steps, self.plan.steps)
        model, weights = self.engine.model_and_state()
        if self.engine.rank == 0 and weights is not None:
            figures = {"steps": step, "pairs": len(self.pairs), "heldout": rounded(heldout)}
            write_model(self.job, self.model, model, weights, figures)
        self.engine.gather(None)  # no worker ends before the model is on disk

    def note(self, phase: str, done: int, total: int, words: str = "") -> None:
        """Tell the driver how far it is."""
        if ray.train.get_context().get_world_rank() == 0:
            write_json(self.job.progress_path, {"phase": phase, "done": done, "total": total, "note": words})

    def log(self, **figures: Any) -> None:
        """Append a line to the run's metrics."""
        if self.engine.rank == 0:
            RunFolder(self.job.run).log_metrics("train", **rounded(figures))
