"""Which runs make a reference pass: the first on its pairs, and no other until something it depends on changes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from raylign.config import load_config
from raylign.errors import ModelError
from raylign.train.job import Job
from raylign.train.reference_cache import ReferenceCache
from raylign.train.tokens import TokenPair

PAIRS = [TokenPair("a", (1, 2), (3,), (4,)), TokenPair("b", (1,), (5, 6), (7,))]


class OneWorker:
    """An engine of one process, whose model finds every token equally likely."""

    rank = 0
    layout = "shared"
    products = "bf16"

    def __init__(self) -> None:
        self.passes = 0

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def score_reference(
        self, pairs: Sequence[TokenPair], progress: Callable[[int], None]
    ) -> dict[str, tuple[float, float]]:
        self.passes += 1
        progress(len(pairs))
        return {pair.id: (-1.5 * len(pair.chosen_ids), -1.5 * len(pair.rejected_ids)) for pair in pairs}


class Run:
    """A run on pairs that lie beside others, up to its first step."""

    def __init__(self, folder: Path, name: str, *overrides: str) -> None:
        model = folder / "model"
        if not model.exists():
            model.mkdir()
            (model / "config.json").write_text("{}")
            save_file({"weight": torch.zeros(4)}, model / "model.safetensors")
        self.engine = OneWorker()
        job = Job(load_config(None, list(overrides)), str(model), folder / name, folder / "pairs")
        self.cache = ReferenceCache(self.engine, job, str(model))  # type: ignore[arg-type]

    def find(self, pairs: Sequence[TokenPair] = PAIRS) -> dict[str, tuple[float, float]]:
        return self.cache.find(pairs, lambda done: None)[1]


def test_another_run_and_another_objective_on_the_same_pairs_make_no_pass(tmp_path: Path) -> None:
    first, second = Run(tmp_path, "first"), Run(tmp_path, "second", "train.objective=dpo", "train.beta=0.5")
    logps = first.find()
    assert second.find() == logps
    assert (first.engine.passes, second.engine.passes) == (1, 0)
    assert first.cache.figures()["reference"] == "computed"
    assert second.cache.figures() == {"reference": "found", "reference_seconds": 0}


def test_a_run_that_is_taken_up_again_still_counts_the_pass_as_its_own(tmp_path: Path) -> None:
    Run(tmp_path, "run").find()
    again = Run(tmp_path, "run")
    again.find()
    assert again.engine.passes == 0
    assert again.cache.figures()["reference"] == "computed"


def test_another_type_or_other_pairs_are_computed_anew(tmp_path: Path) -> None:
    Run(tmp_path, "first").find()
    other = Run(tmp_path, "second", "train.dtype=fp32")
    other.find()
    other.find(PAIRS[:1])
    assert other.engine.passes == 2


def test_a_folder_of_its_own_is_taken_before_that_of_the_pairs(tmp_path: Path) -> None:
    Run(tmp_path, "first", f"train.reference_folder={tmp_path / 'shared'}").find()
    assert list((tmp_path / "shared").glob("reference-*.parquet"))
    assert not (tmp_path / "pairs").exists()


def test_pairs_on_storage_that_cannot_be_written_leave_the_reference_to_the_run_which_says_so(tmp_path: Path) -> None:
    (tmp_path / "pairs").write_text("no folder, so nothing can be written into it, not even by root")
    run = Run(tmp_path, "run")
    logps = run.find()
    assert list((tmp_path / "run" / "train").glob("reference-*.parquet"))
    assert f"{tmp_path / 'pairs'} cannot be written" in run.cache.figures()["reference_kept"]
    again = Run(tmp_path, "run")
    assert again.find() == logps
    assert again.engine.passes == 0


def test_what_the_first_worker_refuses_all_refuse(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(ModelError, match="safetensors"):
        Run(tmp_path, "run")
