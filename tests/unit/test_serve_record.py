"""The record of an endpoint that runs."""

from dataclasses import asdict
from pathlib import Path

import pytest

from raylign.config import ServeConfig
from raylign.errors import InputError, RunFolderError
from raylign.serve.record import Record, one_at_a_time, read_record, remove_record, write_record


def record(**fields: object) -> Record:
    serving = ServeConfig(api_keys_env="KEYS", engine={"max_num_seqs": 4})
    usual = {
        "address": "127.0.0.1:6379",
        "access": "token",
        "url": "http://127.0.0.1:8000/v1",
        "models": {"base": "/m"},
        "marks": {"base": "0"},
        "serve": asdict(serving),
        "trust_remote_code": False,
        "cores": 2,
        "started": "2026-01-01T00:00:00+00:00",
    }
    return Record(**usual | fields)  # type: ignore[arg-type]


def test_a_record_comes_back_as_it_was_and_is_private(tmp_path: Path) -> None:
    write_record(tmp_path, record())
    assert read_record(tmp_path) == record()
    assert read_record(tmp_path).config == ServeConfig(api_keys_env="KEYS", engine={"max_num_seqs": 4})
    assert (tmp_path / "serve.json").stat().st_mode & 0o077 == 0
    remove_record(tmp_path)
    with pytest.raises(InputError, match=r"has no serve\.json"):
        read_record(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_damaged_record_is_a_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "serve.json").write_text(text)
    with pytest.raises(InputError, match="cannot be read"):
        read_record(tmp_path)


def test_two_upgrades_at_once_are_refused(tmp_path: Path) -> None:
    with one_at_a_time(tmp_path), pytest.raises(RunFolderError, match="under way"), one_at_a_time(tmp_path):
        pytest.fail("it must not get here")
    with one_at_a_time(tmp_path):
        pass
