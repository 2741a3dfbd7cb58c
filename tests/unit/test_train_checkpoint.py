"""Training checkpoints as files: whole by name, whoever wrote them; one clear error where they do not fit."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from raylign.errors import TrainingError
from raylign.train.checkpoint import PARTS, SavedCheckpoint, Share, owners, tensor_key, write_share
from raylign.train.random_state import random_state, set_random_state

SHAPES = {"embedding": torch.Size([6, 4]), "layer": torch.Size([4, 4]), "norm": torch.Size([4])}


def value(part: str, name: str) -> torch.Tensor:
    """Numbers that differ for every tensor."""
    start = 100.0 * PARTS.index(part) + 10.0 * list(SHAPES).index(name)
    return start + torch.arange(SHAPES[name].numel(), dtype=torch.float32).reshape(SHAPES[name]) / 64


def write(folder: Path, workers: int) -> SavedCheckpoint:
    owner = owners({name: shape.numel() for name, shape in SHAPES.items()}, workers)
    for rank in reversed(range(workers)):  # in no particular order
        mine = [name for name in SHAPES if owner[name] == rank]
        tensors = {tensor_key(part, name): value(part, name) for part in PARTS for name in mine}
        write_share(folder, Share(rank, workers, tensors, {"rank": rank}, 7, {"key": "k", "losses": [1.0, 0.1 + 0.2]}))
    return SavedCheckpoint(folder)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_every_tensor_is_found_again_however_many_workers_wrote_it(workers: int, tmp_path: Path) -> None:
    saved = write(tmp_path, workers)
    with saved.tensors(SHAPES) as read:
        for name in SHAPES:
            for part in PARTS:
                assert torch.equal(read(part, name), value(part, name))
    assert (saved.optimizer_steps, saved.trainer) == (7, {"key": "k", "losses": [1.0, 0.1 + 0.2]})
    assert saved.random(workers - 1) == {"rank": workers - 1}
    assert saved.random(workers) is None


def test_a_step_that_is_written_again_by_fewer_workers_leaves_nothing_of_the_first_try(tmp_path: Path) -> None:
    write(tmp_path, 3)
    saved = write(tmp_path, 1)
    with saved.tensors(SHAPES) as read:
        assert torch.equal(read("master", "norm"), value("master", "norm"))
    assert saved.shards == 1


def test_parameters_are_spread_by_size_and_always_alike() -> None:
    sizes = {"a": 10, "b": 9, "c": 2, "d": 2, "e": 1}
    assert owners(sizes, 2) == {"a": 0, "b": 1, "c": 1, "d": 0, "e": 1}
    assert owners(dict(reversed(sizes.items())), 2) == owners(sizes, 2)
    assert set(owners(sizes, 1).values()) == {0}


def test_a_checkpoint_takes_twelve_bytes_a_parameter(tmp_path: Path) -> None:
    tensors = {tensor_key(part, "weight"): torch.zeros(1000, 100) for part in PARTS}
    write_share(tmp_path, Share(0, 1, tensors, random_state(), 1, {}))
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 12 * 100_000 < written < 12 * 100_000 + 50_000


def damage_nothing_there(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def damage_shard_missing(folder: Path) -> None:
    (folder / "shard-00002-of-00002.safetensors").unlink()


def damage_shard_cut(folder: Path) -> None:
    path = folder / "shard-00001-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def damage_format(folder: Path) -> None:
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "format": 9}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_nothing_there, "state.json is missing"),
        (damage_shard_missing, "shard-00002-of-00002.safetensors is missing or not whole"),
        (damage_shard_cut, "shard-00001-of-00002.safetensors is missing or not whole"),
        (damage_format, "it has format 9, and this version reads 1"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_sentence(
    damage: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    write(tmp_path, 2)
    damage(tmp_path)
    with pytest.raises(TrainingError, match=reason), SavedCheckpoint(tmp_path).tensors(SHAPES):
        pass


def test_a_checkpoint_of_another_model_is_refused_by_what_differs(tmp_path: Path) -> None:
    saved = write(tmp_path, 2)
    with (
        pytest.raises(TrainingError, match="exp_avg/head and 2 more differ"),
        saved.tensors(SHAPES | {"head": SHAPES["norm"]}),
    ):
        pass
    wider = SHAPES | {"norm": torch.Size([8])}
    with pytest.raises(TrainingError, match=r"norm has shape \[4\], and the model needs \[8\]"), saved.tensors(wider):
        pass


def test_generators_go_on_with_the_numbers_they_would_have_drawn() -> None:
    def draw() -> list[float]:
        return [
            random.random(),
            random.gauss(0, 1),
            float(np.random.rand()),
            float(torch.rand(1)),
            float(torch.randn(1)),
        ]

    random.gauss(0, 1)  # leaves a second number behind, which is part of the state
    before = json.loads(json.dumps(random_state()))
    expected = draw()
    assert draw() != expected
    set_random_state(before)
    assert draw() == expected
