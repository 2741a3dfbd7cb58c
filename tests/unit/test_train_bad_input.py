"""What `raylign train` cannot use: one clear error each, exit code 2, before anything starts."""

import json
from pathlib import Path

import pytest

from raylign.cli import main
from raylign.config import load_config
from raylign.errors import ConfigError, InputError
from raylign.loop import EVALUATE, PAIRS, TRAIN
from raylign.preflight import preflight
from raylign.recommend.stage import of_recommending
from raylign.train.store_check import check_drafted_by

OTHERS = {"source": "clair", "target_models": ["someone/other-model"]}


def pairs_folder(folder: Path, manifest: dict[str, object] | None) -> Path:
    """A store that is there, with this manifest; its rows are not looked at before training."""
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "part-00000.parquet").touch()
    if manifest is not None:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["train.pairs={empty}"], "no pairs in"),
        (["train.pairs={others}"], "drafted by someone/other-model, and the model to train is bundled"),
        (["train.zero_stage=4"], "train.zero_stage is 4; allowed: 1, 2, 3"),
        (["train.offload_parameters=true"], "only ZeRO-3 on GPUs"),
        (["train.lora.rank=0"], "train.lora.rank is 0; it must be at least 1"),
        (["train.lora.rank=8", "train.lora.quantization=nf4"], "4-bit weights need a GPU"),
        (["train.lora.quantization=nf4"], "set train.lora.rank"),
        (["train.export=adapter"], "set train.lora.rank"),
        (["train.early_stop=loss_of_interest"], "allowed: null, "),
        (["train.lora.ranks=8"], "did you mean 'train.lora.rank'?"),
        (["model=/no/such/model", "train.pairs={own}"], "does not exist"),
    ],
)
def test_bad_input_is_one_error_with_its_cure(
    overrides: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty" / "train").mkdir(parents=True)
    folders = {"empty": tmp_path / "empty", "others": pairs_folder(tmp_path / "others", OTHERS)}
    folders["own"] = pairs_folder(tmp_path / "own", None)
    given = [override.format(**folders) for override in overrides]
    assert main(["train", "--out", str(tmp_path / "run"), *given]) == 2
    said = capsys.readouterr().err
    assert said.count("raylign: error:") == 1
    assert named in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        {"source": "clair", "target_models": ["bundled"]},
        {"source": "clair", "target_models": ["someone/other-model", "bundled"]},
        {"source": "offpolicy", "target_models": ["unknown"]},
        {"source": "clair", "target_models": [""]},
    ],
)
def test_pairs_of_the_model_itself_and_imported_ones_are_trained_on(
    manifest: dict[str, object] | None, tmp_path: Path
) -> None:
    folder = pairs_folder(tmp_path / "pairs", manifest)
    config = load_config(None, [f"train.pairs={folder}"])
    preflight(config, (TRAIN,), tmp_path / "run")
    (folder / "manifest.json").write_text(json.dumps(OTHERS))
    with pytest.raises(InputError, match="drafted by someone/other-model"):
        preflight(config, (TRAIN,), tmp_path / "run")


def test_other_drafts_are_trained_on_where_that_is_asked_for(tmp_path: Path) -> None:
    folder = pairs_folder(tmp_path / "pairs", OTHERS)
    config = load_config(None, [f"train.pairs={folder}"])
    with pytest.raises(InputError, match="drafted by someone/other-model"):
        preflight(config, (TRAIN,), tmp_path / "run")
    config.train.allow_other_drafts = True
    preflight(config, (TRAIN,), tmp_path / "run")


def test_a_recommendation_allows_other_drafts_where_training_does(tmp_path: Path) -> None:
    folder = pairs_folder(tmp_path / "pairs", OTHERS)
    allowed = load_config(None, ["train.allow_other_drafts=true", "train.beta=0.7"])
    config = of_recommending(allowed, folder)
    preflight(config, (TRAIN,), tmp_path / "run")
    assert config.train.beta != 0.7, "what only training depends on may change between its starts"
    with pytest.raises(InputError, match=r"train\.allow_other_drafts=true"):
        preflight(of_recommending(load_config(), folder), (TRAIN,), tmp_path / "run")


def test_a_folder_is_the_same_model_however_it_is_written() -> None:
    manifest = {"source": "stronger", "target_models": ["models/../models/a"]}
    check_drafted_by(manifest, "/x/models/a", lambda name: str(Path("/x", name).resolve()))
    with pytest.raises(InputError, match="the model to train is /x/models/b"):
        check_drafted_by(manifest, "/x/models/b", lambda name: str(Path("/x", name).resolve()))


def test_an_adapter_alone_is_not_sent_to_the_evaluation(tmp_path: Path) -> None:
    config = load_config(None, ["train.lora.rank=4", "train.export=adapter", "serve.port=0"])
    with pytest.raises(ConfigError, match=r"train\.export=merged"):
        preflight(config, (PAIRS, TRAIN, EVALUATE), tmp_path)
    preflight(config, (PAIRS, TRAIN), tmp_path)
