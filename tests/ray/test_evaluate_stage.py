"""The evaluation stage on a real Ray: two models behind a real HTTP server, scored under a real (tiny) base model."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from provider import Provider

from raylign.config import LoopConfig
from raylign.errors import InputError, find_raylign_error
from raylign.evaluate.rows import Answer
from raylign.evaluate.stage import run
from raylign.parts import PartWriter, read_records
from raylign.records import Message, Prompt, content_id
from raylign.run_folder import RunFolder
from raylign.screen import Screen

pytestmark = pytest.mark.ray

LONG = "Well, there is a great deal to say about that and there is a great deal to say about this."
SHORT = "It depends on the weather."


@pytest.fixture
def endpoint() -> Any:
    """An endpoint whose `base` is wordy and whose `aligned` is brief."""
    provider = Provider(models=("base", "aligned"))
    provider.reply = lambda messages: LONG if provider.last_model == "base" else SHORT
    with provider:
        yield provider


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> RunFolder:
    """A run that has prompts, 8 of 10 held out, and a checkpoint."""
    prompts = [
        Prompt(
            content_id("prompt", index),
            [Message(role="user", content=f"What about question {index}?")],
            "heldout" if index < 8 else "train",
            "test",
        )
        for index in range(10)
    ]
    run_folder = RunFolder(tmp_path)
    with PartWriter(run_folder.stage("prompts"), Prompt) as writer:
        writer.add(prompts)
    shutil.copytree(tiny_model, tmp_path / "checkpoint")
    return run_folder


def configured(model: Path, base_url: str) -> LoopConfig:
    config = LoopConfig(model=str(model))
    config.evaluate.base_url = base_url
    config.evaluate.max_attempts = 1
    config.evaluate.bootstrap_samples = 500
    return config


def test_figures_of_a_whole_evaluation(ray_cluster: None, folder: RunFolder, tiny_model: Path, endpoint: Any) -> None:
    config = configured(tiny_model, endpoint.url)
    config.evaluate.prompts = 3
    assert run(config, folder, Screen())["prompts"] == 3
    config.evaluate.prompts = None
    figures = run(config, folder, Screen())
    assert (figures["prompts"], figures["failed"]) == (8, 0)
    assert (figures["tokens_base"], figures["tokens_aligned"]) == (20.0, 5.0)
    assert figures["change_percent"] == pytest.approx(-75.0)
    assert figures["ci95"] == [figures["change_percent"]] * 2
    # "there is a great deal to say about" comes twice: 5 of its 17 four-word runs are repeats.
    assert figures["base_guards"]["repeated_4grams"] == pytest.approx(5 / 17, abs=1e-4)
    assert figures["guards"]["repeated_4grams"] == 0.0
    # A random model finds every token about as likely as any other of its 49,152.
    assert figures["guards"]["logprob_under_base"] == pytest.approx(-math.log(49152), abs=0.5)
    assert endpoint.served["ok"] == 16  # the first three prompts were not asked again


def test_failures_are_counted_and_asked_again_next_time(
    ray_cluster: None, folder: RunFolder, tiny_model: Path, endpoint: Any
) -> None:
    endpoint.fault = lambda number, asked_before: "error_500" if number in (0, 5) else ""
    config = configured(tiny_model, endpoint.url)
    config.evaluate.requests_in_flight = 1
    figures = run(config, folder, Screen())
    assert (figures["prompts"], figures["failed"]) == (6, 2)
    assert len(read_records(folder.path / "evaluate" / "answers", Answer)) == 16
    figures = run(config, folder, Screen())
    assert (figures["prompts"], figures["failed"]) == (8, 0)
    assert endpoint.served["ok"] == 16


def test_no_answer_at_all_is_an_error(ray_cluster: None, folder: RunFolder, tiny_model: Path, endpoint: Any) -> None:
    endpoint.fault = lambda number, asked_before: "error_500"
    with pytest.raises(Exception, match="brings no reply any more") as caught:
        run(configured(tiny_model, endpoint.url), folder, Screen())
    assert find_raylign_error(caught.value) is not None


def test_a_run_without_a_checkpoint_is_refused(ray_cluster: None, folder: RunFolder, tiny_model: Path) -> None:
    shutil.rmtree(folder.path / "checkpoint")
    with pytest.raises(InputError, match="no trained checkpoint"):
        run(configured(tiny_model, "http://127.0.0.1:9"), folder, Screen())
