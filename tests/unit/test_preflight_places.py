"""Folders, the journal, models, GPUs and the cluster's address are looked at without loading or making anything."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from raylign.errors import InputError, ModelError, PlanError
from raylign.preflight.gpus import local_gpus
from raylign.preflight.places import check_cluster, check_journal, check_model, check_writable


def model_folder(path: Path, tokenizer: object = None, **files: str) -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    if tokenizer is not None:
        (path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def test_a_folder_below_a_file_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--out .*file/run cannot be written: .*file is not a folder; name another"):
        check_writable(tmp_path / "file" / "run", "--out", "name another")
    check_writable(tmp_path / "new" / "run", "--out", "name another")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere, and tests may run as root
    with pytest.raises(InputError, match="not yours to write"):
        check_writable(tmp_path / "run", "--out", "")


def test_a_journal_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"revise\.journal"):
        check_journal(str(tmp_path / "file" / "journal"))
    check_journal(str(tmp_path / "journal"))
    assert not (tmp_path / "journal").exists()


def test_a_journal_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match=r"revise\.journal"):
        check_journal("nosuchscheme://bucket/journal")


def test_a_journal_by_uri_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    check_journal(f"file://{tmp_path}/journal")
    assert list((tmp_path / "journal").iterdir()) == []


@pytest.mark.parametrize("kept", [4, 60, -1])
def test_weights_that_are_cut_off_are_refused_before_anything_loads_them(tmp_path: Path, kept: int) -> None:
    """In the length of the header, in the header, and in the last number."""
    folder = model_folder(tmp_path / "model", {"chat_template": "{{ messages }}"})
    save_file({"weight": np.zeros(100, dtype=np.float32)}, folder / "model.safetensors")
    check_model(str(folder), "model", trust_remote_code=False)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:kept])
    with pytest.raises(
        ModelError, match=r"^model is .*, whose model\.safetensors is cut off or damaged: .*copy or export"
    ):
        check_model(str(folder), "model", trust_remote_code=False)


@pytest.mark.parametrize("tokenizer", [None, {}, {"chat_template": ""}, {"auto_map": {}}])
def test_a_model_without_chat_template_is_refused(tmp_path: Path, tokenizer: object) -> None:
    folder = model_folder(tmp_path / "model", tokenizer)
    with pytest.raises(
        ModelError, match=r"revise\.model is .*model, which has no chat template; .*chat_template\.jinja"
    ):
        check_model(str(folder), "revise.model", trust_remote_code=False)


def test_a_chat_template_is_found_wherever_transformers_keeps_one(tmp_path: Path) -> None:
    for number, (tokenizer, files) in enumerate(
        [
            ({"chat_template": "{{ messages }}"}, {}),
            ({"chat_template": [{"name": "default", "template": "{{ messages }}"}]}, {}),
            ({}, {"chat_template__jinja": "{{ messages }}"}),
            ({}, {"chat_template__json": '{"chat_template": "{{ messages }}"}'}),
            (None, {"tekken__json": "{}"}),
        ]
    ):
        folder = model_folder(tmp_path / str(number), tokenizer, **files)
        check_model(str(folder), "model", trust_remote_code=False)
        for path in folder.iterdir():
            if path.name != "config.json":
                path.unlink()
        with pytest.raises(ModelError, match="no chat template"):  # it was nowhere else
            check_model(str(folder), "model", trust_remote_code=False)
    own_code = model_folder(tmp_path / "own", {"auto_map": {"AutoTokenizer": "x.Y"}})
    check_model(str(own_code), "model", trust_remote_code=True)
    with pytest.raises(ModelError, match="no chat template"):
        check_model(str(own_code), "model", trust_remote_code=False)


def test_a_missing_model_folder_is_refused() -> None:
    with pytest.raises(ModelError, match="/no/such/model does not exist"):
        check_model("/no/such/model", "model", trust_remote_code=False)


def test_a_hub_model_is_refused_only_where_the_cache_knows_that_it_has_no_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    tokenizer = tmp_path / "tokenizer_config.json"
    tokenizer.write_text("{}")
    known_missing = object()
    for jinja, refused in ((None, False), (str(tmp_path / "chat_template.jinja"), False), (known_missing, True)):
        cached = {"tokenizer_config.json": str(tokenizer), "chat_template.jinja": jinja}
        monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, file, at=cached: at[file])
        if refused:
            with pytest.raises(ModelError, match="no chat template"):
                check_model("owner/name", "model", trust_remote_code=False)
        else:
            check_model("owner/name", "model", trust_remote_code=False)


def test_an_address_where_nothing_listens_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        check_cluster(f"127.0.0.1:{port}")
        check_cluster(f"ray://127.0.0.1:{port}")
    with pytest.raises(PlanError, match=f"no Ray cluster answers at 127.0.0.1:{port}"):
        check_cluster(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["auto", "local", "http://127.0.0.1:1", "somewhere"])
def test_other_forms_of_address_are_left_to_ray(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *arguments: tried.append(arguments))
    check_cluster(address)
    assert tried == []


def test_gpus_are_counted_from_the_system_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "dev").mkdir()
    assert local_gpus(tmp_path) == 0
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    assert local_gpus(tmp_path) == 2
    for visible, count in (("1", 1), ("", 0), ("-1", 0), ("0,1,2", 2), ("MIG-a,MIG-b,MIG-c", None)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert local_gpus(tmp_path) == count
    (tmp_path / "dev" / "kfd").touch()
    assert local_gpus(tmp_path) is None
