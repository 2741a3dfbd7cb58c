"""What `raylign serve` says and refuses, before any engine starts."""

import io
import json
import re
from pathlib import Path

import pytest

from raylign.config import LoopConfig, ServeConfig
from raylign.errors import InputError
from raylign.screen import Screen
from raylign.serve.stage import ready_message, serve_run


def test_a_run_without_a_checkpoint_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no trained checkpoint"):
        serve_run(LoopConfig(), tmp_path, Screen(io.StringIO()))
    assert list(tmp_path.iterdir()) == []


def test_the_ready_message_holds_a_request_that_is_json() -> None:
    message = ready_message("http://127.0.0.1:8000/v1", ["base", "aligned"], ServeConfig())
    request = json.loads(re.search(r"-d '(.*)'", message)[1])  # type: ignore[index]
    assert request["model"] == "aligned"
    assert "http://127.0.0.1:8000/v1/chat/completions" in message
    assert "base, aligned" in message
