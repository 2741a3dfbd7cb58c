"""A plan measures few prompts and speaks of all; its folder is no run's, and a run can use what it paid for."""

import json
from pathlib import Path

import pytest

from raylign.config import LoopConfig, load_config
from raylign.errors import RunFolderError
from raylign.parts import PartWriter, read_records
from raylign.plan import stage
from raylign.records import Draft, Prompt, Revision
from raylign.revise.replies import Reply
from raylign.revise.rows import Call, to_revision
from raylign.revise.templates import load_template
from raylign.run_folder import RunFolder
from raylign.sample.drafts import to_draft
from raylign.screen import Screen

CONFIG = load_config(
    None,
    [
        "revise.base_url=http://127.0.0.1:9/v1",
        "revise.model=editor",
        "revise.usd_per_million_prompt_tokens=10",
        "revise.usd_per_million_reply_tokens=30",
        "revise.max_usd=5",
    ],
)


def both_stages(config: LoopConfig, folder: RunFolder, screen: Screen, stages: object) -> dict[str, object]:
    """What the sample and revise stages leave behind, with answers of 20 tokens, replies of 30, and 2 s a request."""
    if folder.finished("revisions"):
        return {}
    prompts: list[Prompt] = read_records(folder.path / "prompts", Prompt)
    output = {"generated_text": "An answer.", "num_generated_tokens": 20, "num_input_tokens": 9}
    drafts = [to_draft(prompt, output, config.model, config.sample, config.seed) for prompt in prompts]
    template = load_template(config.revise)
    reply = Reply("Better.", "stop", prompt_tokens=100, reply_tokens=30)
    with PartWriter(folder.path / "drafts", Draft) as writer:
        writer.add(drafts)
    with PartWriter(folder.path / "revisions", Revision) as writer:
        writer.add([to_revision(draft, Call(reply, 1, 2.0), config.revise, template) for draft in drafts])
    folder.finish("drafts", {"start_seconds": 20.0, "tokens_per_second": 80.0}, 25.0)
    folder.finish("revisions", {}, 10.0)
    return {}


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "run_stages", both_stages)


def made(path: Path, sample: int = 16, config: LoopConfig = CONFIG) -> list[str]:
    folder = RunFolder.open(path, config, ["raylign", "plan"], stage.marks(sample))
    try:
        return stage.run_plan(config, folder, Screen(), sample)
    finally:
        folder.close()


def test_a_plan_speaks_of_all_prompts_by_a_few(tmp_path: Path) -> None:
    """The bundled prompts: each 100 × $10 + 30 × $30 a million, 0.19 cents; 20 tokens at 80 a second, after 20 s."""
    lines = made(tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    count = plan["prompts"]
    assert count > 200
    assert plan["sampled"] == 16
    assert plan["usd"]["value"] == pytest.approx(count * 0.0019)
    assert plan["calls"]["value"] == count
    assert plan["sample"]["seconds"]["value"] == pytest.approx(20 + count * 20 / 80)
    assert plan["budget"] == "fits"
    assert any("revise.max_usd=5: the run fits" in line for line in lines)


def test_the_sample_is_random_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    def chosen(path: Path, config: LoopConfig) -> list[str]:
        made(path, config=config)
        return [prompt.id for prompt in read_records(path / "prompts", Prompt)]

    other = load_config(None, ["seed=1", "revise.base_url=http://127.0.0.1:9/v1", "revise.model=editor"])
    first = chosen(tmp_path / "a", CONFIG)
    assert first == chosen(tmp_path / "b", CONFIG)
    assert first != chosen(tmp_path / "c", other)
    assert len(set(first)) == 16


def test_a_plan_taken_up_again_says_the_same(tmp_path: Path) -> None:
    assert made(tmp_path) == made(tmp_path)


def test_the_journal_is_named_for_the_run(tmp_path: Path) -> None:
    assert any(f"revise.journal={tmp_path.resolve() / 'journal'}" in line for line in made(tmp_path))


def test_a_sample_of_all_prompts_leaves_nothing_uncertain(tmp_path: Path) -> None:
    made(tmp_path, sample=10_000)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["sampled"] == plan["prompts"]
    assert plan["usd"]["low"] == plan["usd"]["high"] == pytest.approx(plan["prompts"] * 0.0019)


def test_a_plans_folder_and_a_runs_are_never_taken_for_each_other(tmp_path: Path) -> None:
    made(tmp_path / "plan")
    with pytest.raises(RunFolderError, match=r"plan\.sample: 16 there, \(not set\) here"):
        RunFolder.open(tmp_path / "plan", CONFIG, [])
    with pytest.raises(RunFolderError, match=r"plan\.sample: 16 there, 32 here"):
        made(tmp_path / "plan", sample=32)
    RunFolder.open(tmp_path / "run", CONFIG, []).close()
    with pytest.raises(RunFolderError, match=r"plan\.sample: \(not set\) there, 16 here"):
        made(tmp_path / "run")
