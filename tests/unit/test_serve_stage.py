"""What `raylign serve` says and refuses, before any engine starts."""

import io
import json
import re
from pathlib import Path

import pytest

from raylign.config import LoopConfig, ServeConfig
from raylign.errors import ModelError
from raylign.screen import Screen
from raylign.serve.stage import ready_message, serve_named, with_places


def test_a_model_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        serve_named(LoopConfig(), {"base": str(tmp_path / "nowhere")}, tmp_path / "out", Screen(io.StringIO()))
    assert list(tmp_path.iterdir()) == []


def test_places_are_whole_paths_wherever_the_router_runs(tmp_path: Path) -> None:
    placed = with_places(ServeConfig(api_keys_file="keys"), tmp_path)
    assert placed.api_keys_file == str(Path("keys").absolute())
    assert placed.audit_file == str(tmp_path / "audit.jsonl")


def test_the_request_to_paste_takes_the_first_key_and_shows_none() -> None:
    message = ready_message("http://127.0.0.1:8000/v1", ["base"], ServeConfig(api_keys_env="KEYS"))
    assert "Authorization: Bearer ${KEYS%%,*}" in message


def test_the_ready_message_holds_a_request_that_is_json() -> None:
    message = ready_message("http://127.0.0.1:8000/v1", ["base", "aligned"], ServeConfig())
    request = json.loads(re.search(r"-d '(.*)'", message)[1])  # type: ignore[index]
    assert request["model"] == "aligned"
    assert "http://127.0.0.1:8000/v1/chat/completions" in message
    assert "base, aligned" in message
