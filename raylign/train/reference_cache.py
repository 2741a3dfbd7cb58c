"""Finds reference log-probabilities in a file or has all workers compute them, once. This acts; `reference` decides.

The file lies beside the pairs, where every run that trains on them finds it, or in `train.reference_folder`; where that
cannot be written, in the run's own folder.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from raylign.errors import RaylignError
from raylign.train.engine import Engine
from raylign.train.job import Job
from raylign.train.model_loading import weights_folder
from raylign.train.reference import (
    AnswerLogps,
    Reference,
    check_reference,
    load_reference,
    reference_key,
    reference_path,
    save_reference,
    weights_fingerprint,
)
from raylign.train.tokens import TokenPair


class ReferenceCache:
    """The reference of one run. Made and asked by all workers together, before the first step.

    The engine's own weights are the reference as long as none has moved, so no second model is ever loaded.
    """

    def __init__(self, engine: Engine, job: Job, model: str) -> None:
        self.engine, self.job = engine, job
        rounded_to = job.config.train.lora.quantization or ""
        self.weights = self._on_first(lambda: weights_fingerprint(weights_folder(model))) + rounded_to
        self.found: list[Reference] = []
        self.kept_elsewhere = ""

    def find(self, pairs: Sequence[TokenPair], progress: Callable[[int], None]) -> tuple[str, dict[str, AnswerLogps]]:
        """The key of these pairs, and their log-probabilities by pair id.

        Raises:
            ModelError: the model has no safetensors.
            TrainingError: a file was changed, or the model finds an answer's likelihood to be no number.
        """
        types = f"{self.job.config.train.dtype} in {self.engine.products}"
        key = reference_key(self.weights, pairs, types, self.engine.layout)
        # The first worker alone looks: one that saw the file where another did not would leave it waiting in the pass.
        found: Reference | None = self._on_first(lambda: self._look(key, pairs))
        if found is None:
            found = self._compute(key, pairs, progress)
        self.found.append(found)
        return key, found.logps

    def figures(self) -> dict[str, Any]:
        """`reference`: `computed` by this run, in this start or an earlier one, or `found`; the seconds it took then.

        `reference_kept` says where, and why there, if the file could not be written beside the pairs.
        """
        mine = [one for one in self.found if one.run == str(self.job.run)]
        figures: dict[str, Any] = {
            "reference": "computed" if mine else "found",
            "reference_seconds": round(sum((one.seconds for one in mine), 0.0), 3),
        }
        return figures | ({"reference_kept": self.kept_elsewhere} if self.kept_elsewhere else {})

    def _look(self, key: str, pairs: Sequence[TokenPair]) -> Reference | None:
        paths = [reference_path(folder, key) for folder in self.job.reference_folders]
        return next((found for path in paths if (found := load_reference(path, (pair.id for pair in pairs)))), None)

    def _compute(self, key: str, pairs: Sequence[TokenPair], progress: Callable[[int], None]) -> Reference:
        started = time.perf_counter()
        logps = self.engine.score_reference(pairs, progress)
        check_reference(logps)
        computed = Reference(logps, str(self.job.run), time.perf_counter() - started)
        if self.engine.rank == 0:
            self._keep(key, computed)
        return computed

    def _keep(self, key: str, computed: Reference) -> None:
        shared, own = self.job.reference_folders
        try:
            save_reference(reference_path(shared, key), computed)
        except OSError as error:
            save_reference(reference_path(own, key), computed)
            self.kept_elsewhere = f"in {own}, as {shared} cannot be written ({error.strerror or error})"

    def _on_first(self, work: Callable[[], Any]) -> Any:
        """What the first worker finds, on every worker; what it refuses, all of them refuse."""
        value: Any = None
        if self.engine.rank == 0:
            try:
                value = work()
            except RaylignError as error:
                value = error
        value = self.engine.gather(value)[0]
        if isinstance(value, RaylignError):
            raise value
        return value
