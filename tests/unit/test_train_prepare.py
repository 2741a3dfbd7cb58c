"""Pairs as token ids before training: what is too long for the model is counted, and the cure is one that helps."""

from pathlib import Path

import pytest
from records import make_pair
from transformers import AutoConfig

from raylign.config import LoopConfig
from raylign.errors import InputError
from raylign.parts import PartWriter
from raylign.records import Pair
from raylign.train.job import Job
from raylign.train.prepare import prepare_tokens


def job_of(path: Path, model: Path, *answers: str) -> Job:
    """A job on pairs with these chosen answers."""
    with PartWriter(path / "pairs" / "train", Pair) as writer:
        writer.add([make_pair(answer, "Because so.", id=answer[:20]) for answer in answers])
    return Job(LoopConfig(model=str(model)), str(model), path, path / "pairs")


@pytest.fixture
def of_context(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with a context of 64 tokens, fewer than train.max_length; without its weights."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_model.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    settings = AutoConfig.from_pretrained(folder)
    settings.max_position_embeddings = 64
    settings.save_pretrained(folder)
    return folder


def test_an_answer_longer_than_the_models_context_is_dropped_and_counted(tmp_path: Path, of_context: Path) -> None:
    job = job_of(tmp_path, of_context, "It is so.", "word " * 100)
    assert job.config.train.max_length > 64
    assert prepare_tokens(job, str(of_context)) == {"dropped": {"too_long": 1}, "truncated": 0}
    assert [pair.id for pair in job.load_tokens("train")] == ["It is so."]


def test_where_the_context_is_the_limit_no_setting_is_said_to_help(tmp_path: Path, of_context: Path) -> None:
    job = job_of(tmp_path, of_context, "word " * 100)
    with pytest.raises(InputError, match="too_long 1") as caught:
        prepare_tokens(job, str(of_context))
    assert "the model's context holds 64 tokens" in str(caught.value)


def test_where_the_setting_is_the_limit_it_is_named(tmp_path: Path, tiny_model: Path) -> None:
    job = job_of(tmp_path, tiny_model, "word " * 100)
    job.config.train.max_length = 32
    with pytest.raises(InputError, match=r"raise train\.max_length, now 32"):
        prepare_tokens(job, str(tiny_model))
