"""From run folders and arguments to the names an endpoint serves."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raylign.config import LoopConfig
from raylign.errors import ConfigError, InputError, ModelError
from raylign.model import BUNDLED_HUB_ID
from raylign.serve.catalogue import Adapter
from raylign.serve.sources import content_mark, named_models, read_catalogue


def model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def adapter(folder: Path, base: str, rank: object = 8) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": rank}))
    return folder


def run(folder: Path, base: str) -> tuple[Path, LoopConfig]:
    model(folder / "checkpoint")
    return folder, replace(LoopConfig(), model=base)


def test_one_run_gives_base_and_aligned(tmp_path: Path) -> None:
    named = named_models([run(tmp_path / "first", "bundled")], [])
    assert named == {"base": "bundled", "aligned": str(tmp_path / "first" / "checkpoint")}


def test_several_runs_share_a_base_where_they_have_the_same(tmp_path: Path) -> None:
    first, second = run(tmp_path / "first", "bundled"), run(tmp_path / "second", "bundled")
    assert list(named_models([first, second], [])) == ["base", "aligned-first", "aligned-second"]
    other = run(tmp_path / "third", "owner/model")
    assert list(named_models([first, other], [])) == ["base-first", "aligned-first", "base-third", "aligned-third"]


def test_further_models_stand_beside_them(tmp_path: Path) -> None:
    named = named_models([run(tmp_path / "first", "bundled")], ["tuned=owner/model", "old=/models/old"])
    assert named["tuned"] == "owner/model"
    assert named["old"] == "/models/old"
    assert named_models([], ["alone=bundled"]) == {"alone": "bundled"}


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["tuned"], "NAME=SOURCE"),
        (["tuned="], "NAME=SOURCE"),
        (["=x"], "cannot be a served name"),
        (["a:b=x"], "cannot be a served name"),
        (["a b=x"], "cannot be a served name"),
        (["aligned=x"], "stands for two models"),
    ],
)
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, extra: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        named_models([run(tmp_path / "first", "bundled")], extra)


def test_nothing_to_serve_and_a_run_without_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model to serve"):
        named_models([], [])
    with pytest.raises(InputError, match="has no trained checkpoint"):
        named_models([(tmp_path, LoopConfig())], [])


def test_an_adapter_goes_to_the_engine_of_its_model(tmp_path: Path) -> None:
    base, poet = model(tmp_path / "base"), adapter(tmp_path / "poet", str(tmp_path / "base"))
    catalogue = read_catalogue({"poet": str(poet), "base": str(base)})
    assert catalogue.models == {"base": str(base)}
    assert catalogue.adapters == (Adapter("poet", str(poet), "base", 8),)
    assert catalogue.names == ["base", "poet"]


def test_an_adapter_on_a_hub_model_is_matched_by_its_id(tmp_path: Path) -> None:
    poet = adapter(tmp_path / "poet", "owner/model")
    assert read_catalogue({"base": "owner/model", "poet": str(poet)}).adapters[0].model == "base"


@pytest.mark.parametrize("served", ["bundled", "HuggingFaceTB/SmolLM2-135M-Instruct"])
def test_an_exported_adapter_on_the_bundled_model_finds_it(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the hub id that stands in its configuration, whatever folder the bundled model is unpacked in; no network."""
    folder = model(tmp_path / "cache" / "SmolLM2-135M-Instruct-0")
    monkeypatch.setenv("RAYLIGN_CACHE", str(folder.parent))
    monkeypatch.setattr("raylign.model.bundled_folder", lambda: folder)
    poet, other = adapter(tmp_path / "poet", BUNDLED_HUB_ID), str(model(tmp_path / "other"))
    assert read_catalogue({"other": other, "base": served, "poet": str(poet)}).adapters[0].model == "base"
    assert read_catalogue({"base": str(folder), "poet": str(poet)}).adapters[0].model == "base"
    with pytest.raises(ModelError, match="is not served beside it"):
        read_catalogue({"other": other, "poet": str(poet)})


def test_an_adapter_whose_model_is_not_served_says_what_to_add(tmp_path: Path) -> None:
    poet = adapter(tmp_path / "poet", "owner/model")
    with pytest.raises(ModelError, match="'poet' is an adapter on owner/model") as caught:
        read_catalogue({"base": str(model(tmp_path / "base")), "poet": str(poet)})
    assert "--model NAME=owner/model" in caught.value.cure
    broken = adapter(tmp_path / "broken", "owner/model", rank="many")
    with pytest.raises(ModelError, match="cannot be read"):
        read_catalogue({"base": "owner/model", "broken": str(broken)})


def test_a_mark_changes_with_the_files_and_with_the_folder(tmp_path: Path) -> None:
    first, second = model(tmp_path / "first"), model(tmp_path / "second")
    before = content_mark(str(first))
    assert before == content_mark(str(first))
    assert before != content_mark(str(second))
    (first / "model.safetensors").write_bytes(b"weights")
    assert before != content_mark(str(first))
