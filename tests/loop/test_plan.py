"""`raylign plan` as a user gets it: the real stages on a few prompts, and figures for all of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raylign.parts import read_records
from raylign.records import Draft, Revision

pytestmark = pytest.mark.loop
SMALL = ("prompts.limit=40", "sample.max_tokens=24", "revise.max_tokens=24", "serve.port=0")


def plan(out: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "raylign.cli", "plan", "--sample", "8", "--out", str(out), *SMALL],
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_plan_is_what_the_stages_took_scaled_to_all_prompts(tmp_path: Path) -> None:
    out = tmp_path / "plan"
    said = plan(out)
    found = json.loads((out / "plan.json").read_text())
    assert (found["prompts"], found["sampled"]) == (40, 8)
    tokens = sum(draft.answer_tokens for draft in read_records(out / "drafts", Draft))
    assert found["answer_tokens"]["low"] <= found["answer_tokens"]["value"] <= found["answer_tokens"]["high"]
    assert tokens <= found["answer_tokens"]["low"]
    assert found["answer_tokens"]["high"] <= 2 * 40 * 24
    revisions = read_records(out / "revisions", Revision)
    assert len(revisions) == 8
    # Only the prompt and the rule are sent, so the prompt's tokens follow the size of the request.
    assert "prompt_tokens" in found["by_size"]
    # Both stages told their speed, the start of their engines apart.
    assert 0 < found["sample"]["seconds"]["value"] < 800
    assert "serve.replicas_max=1" in found["revise"]["bound_by"]
    assert found["engine_hours"]["value"] > 0
    assert found["gpu_hours"]["value"] == 0
    assert f"revise.journal={out.resolve() / 'journal'}" in said
    assert list((out / "journal").glob("*.jsonl"))

    again = plan(out)
    assert again.count("finished before") == 2
    assert json.loads((out / "plan.json").read_text()) == found
