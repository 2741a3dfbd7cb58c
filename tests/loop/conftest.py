"""What the loop tests share: one undisturbed training run, which others are compared with."""

import json
from pathlib import Path

import pytest
from training_run import train


@pytest.fixture(scope="session")
def one_worker(ray_cluster: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder trained by one worker without a stop, in fp32; its figures in figures.json."""
    path = tmp_path_factory.mktemp("one")
    (path / "figures.json").write_text(json.dumps(train(path, tiny_model)))
    return path
