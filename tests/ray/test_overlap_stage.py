"""Sampling and revising as one pipeline on a real local Ray and a real provider; only the engines are stood in for."""

import io
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from provider import Provider

from raylign.config import LoopConfig
from raylign.errors import EndpointError
from raylign.overlap import stage
from raylign.parts import PartWriter, read_records
from raylign.records import Draft, Prompt, Revision
from raylign.revise import stage as revise_stage
from raylign.run_folder import RunFolder
from raylign.sample.drafts import engine_row
from raylign.screen import Screen

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]
SCREEN = Screen(io.StringIO())
ROWS = 6
"""Drafts that come at a time."""


def engines(first: int, gate: Path) -> Any:
    """What stands for the engines: so many blocks at once, and the rest when the gate is there (or after five minutes).

    The answer to a prompt is always the same; that to number 3 fails, and number 4 gets none.
    """

    def outputs(config: LoopConfig, waiting: list[tuple[Prompt, int]]) -> Any:
        import ray.data

        class Engine:  # made here, so that it travels to the worker by value: no worker can import a test
            def __init__(self) -> None:
                self.blocks = 0

            def __call__(self, block: Any) -> Any:
                import time as clock

                import pyarrow as arrow

                until = clock.monotonic() + 300
                while self.blocks >= first and not gate.exists() and clock.monotonic() < until:
                    clock.sleep(0.05)
                self.blocks += 1
                texts = [f"A long answer to {row}" for row in block["prompt_json"].to_pylist()]
                errors = ["engine died" if "Question 0003?" in text else "" for text in texts]
                answers = ["" if "Question 0004?" in text else text for text in texts]
                count = arrow.array([7] * len(texts))
                block = block.append_column("generated_text", arrow.array(answers))
                block = block.append_column("__inference_error__", arrow.array(errors))
                return block.append_column("num_generated_tokens", count).append_column("num_input_tokens", count)

        rows = [engine_row(prompt, index, [1]) for prompt, index in waiting]
        dataset = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // ROWS))
        pool = ray.data.ActorPoolStrategy(size=1)
        return dataset.map_batches(Engine, batch_format="pyarrow", batch_size=None, compute=pool, num_cpus=1)

    return outputs


def run_folder(path: Path, count: int) -> RunFolder:
    """A run folder with prompts."""
    prompts = [
        Prompt(f"p{number:04}", [{"role": "user", "content": f"Question {number:04}?"}], "train", "set")
        for number in range(count)
    ]
    with PartWriter(path / "prompts", Prompt) as writer:
        writer.add(prompts)
    return RunFolder(path)


def configuration(provider: Provider) -> LoopConfig:
    config = LoopConfig()
    config.sample.batch_size = ROWS
    config.revise.base_url, config.revise.model = provider.url, "editor"
    config.revise.requests_in_flight, config.revise.actors_max = 8, 1
    config.revise.timeout_seconds = 60.0
    return config


def drafts(folder: RunFolder) -> dict[str, Draft]:
    found: list[Draft] = read_records(folder.path / "drafts", Draft)
    assert len({draft.id for draft in found}) == len(found), "none twice"
    return {draft.id: draft for draft in found}


def revisions(folder: RunFolder) -> list[Revision]:
    found: list[Revision] = read_records(folder.path / "revisions", Revision)
    assert max(Counter(row.draft_id for row in found).values(), default=1) == 1, "none twice"
    on_disk = drafts(folder)
    assert all(row.answer == on_disk[row.draft_id].answer for row in found), "each stands against a draft on disk"
    return found


def test_revisions_come_while_drafts_are_made_and_the_figures_are_those_of_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate"
    monkeypatch.setattr(stage, "engine_outputs", engines(1, gate))
    folder = run_folder(tmp_path, 60)
    drafted: list[int] = []

    def open_gate(number: int, asked_before: int) -> str:
        drafted.append(len(drafts(folder)))
        gate.touch()
        return ""

    with Provider(fault=open_gate) as provider:
        config = configuration(provider)
        sampled = stage.run(config, folder, SCREEN)
        asked = provider.served["ok"]
        revised = revise_stage.run(config, folder, SCREEN)
        assert provider.served["ok"] == asked == 58, "the revise stage finds nothing left to ask"
    assert drafted[0] == ROWS, "the first block is on disk and asked about before the second is made"
    assert sampled["drafts"] == 60
    assert sampled["status"] == {"ok": 59, "engine_error": 1}
    assert sampled["revised_meanwhile"] == 58
    assert sampled["tokens_per_second"] > 0
    assert revised["status"] == {"ok": 58}
    assert {row.prompt_id for row in revisions(folder)} == {f"p{number:04}" for number in range(60)} - {
        "p0003",
        "p0004",
    }


def test_a_revoked_key_ends_the_pipeline_at_once_and_the_next_start_pays_for_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engines stand still after 60 drafts. The rest is drafted and revised when the key is good again."""
    gate = tmp_path / "gate"
    monkeypatch.setattr(stage, "engine_outputs", engines(10, gate))
    monkeypatch.setenv("RAYLIGN_TEST_KEY", "sk-right")
    folder = run_folder(tmp_path, 240)
    provider = Provider(key="sk-right", latency_seconds=0.1)

    def revoke(number: int, asked_before: int) -> str:
        if number == 20:
            provider.key = "sk-another"
        return ""

    provider.fault = revoke
    with provider:
        config = configuration(provider)
        config.revise.api_key_env = "RAYLIGN_TEST_KEY"
        started = time.monotonic()
        with pytest.raises(EndpointError, match="RAYLIGN_TEST_KEY"):
            stage.run(config, folder, SCREEN)
        assert time.monotonic() - started < 200, "it does not wait for the engines"
        kept = revisions(folder)
        assert [row.status for row in kept] == ["ok"] * provider.served["ok"], "what was paid for is kept"
        assert len(kept) < len(drafts(folder)) <= 60
        provider.key, provider.fault = "sk-right", lambda number, asked_before: ""
        gate.touch()
        sampled = stage.run(config, folder, SCREEN)
        assert sampled["drafts"] == 240
        revised = revise_stage.run(config, folder, SCREEN)
        assert revised["status"] == {"ok": 238}
        assert provider.served["ok"] == 238, "none was asked for twice"
    assert len(revisions(folder)) == 238


def test_a_keeper_that_dies_loses_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    import ray

    keepers: list[Any] = []
    start = stage.start_keeper

    def started(*arguments: Any) -> Any:
        keepers.append(start(*arguments))
        return keepers[0]

    gate = tmp_path / "gate"
    monkeypatch.setattr(stage, "engine_outputs", engines(4, gate))
    monkeypatch.setattr(stage, "start_keeper", started)
    folder = run_folder(tmp_path, 60)
    with Provider() as provider:

        def kill() -> None:
            while provider.served["ok"] < 12:
                time.sleep(0.1)
            ray.kill(keepers[0], no_restart=False)
            gate.touch()

        thread = threading.Thread(target=kill)
        thread.start()
        sampled = stage.run(configuration(provider), folder, SCREEN)
        thread.join()
        assert provider.served["ok"] == 58
    assert sampled["drafts"] == len(drafts(folder)) == 60
    assert len(revisions(folder)) == 58
