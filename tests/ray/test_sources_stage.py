"""The judge and the stronger model on a real local Ray against a real HTTP provider: all drafts are accounted for."""

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from provider import Provider
from records import user

from raylign.config import LoopConfig, SampleConfig, load_config
from raylign.errors import EndpointError
from raylign.judge import stage as judge_stage
from raylign.pairs import stage as pairs_stage
from raylign.parts import PartWriter, read_records
from raylign.records import Draft, Judgement, Pair, Prompt, content_id
from raylign.revise import stage as revise_stage
from raylign.run_folder import RunFolder
from raylign.sample.drafts import to_draft
from raylign.screen import Screen

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]
SCREEN = Screen(io.StringIO())
PROMPTS = 24
KEY = "sk-judge-51cd02e8"


def drafts_of(number: int, answers: list[str]) -> list[Draft]:
    """A prompt's drafts as the sample stage makes them of an engine's outputs."""
    messages: list = [{"role": "system", "content": "Be kind."}, *user(f"Question {number:02}?")]
    prompt, sample = Prompt(content_id("prompt", number), messages, "train", "set"), SampleConfig(samples=2)
    return [
        to_draft(prompt, {"generated_text": answer, "num_generated_tokens": 9}, "target", sample, 0, index)
        for index, answer in enumerate(answers)
    ]


def run_folder(path: Path, samples: int) -> RunFolder:
    """Drafts of 24 prompts; with two samples the second of a prompt is the better one for even numbers."""
    with PartWriter(path / "drafts", Draft) as writer:
        for number in range(PROMPTS):
            words = ["good", "poor"] if number % 2 else ["poor", "good"]
            writer.add(drafts_of(number, [f"A {word} answer to question {number:02}." for word in words[:samples]]))
    return RunFolder(path)


def configuration(provider: Provider, source: str) -> LoopConfig:
    settings = [f"revise.base_url={provider.url}", "revise.model=editor", "revise.actors_max=1", "sample.samples=2"]
    return load_config(None, [*settings, f"pairs.source={source}", "revise.timeout_seconds=5", "revise.max_repairs=1"])


def fair_but(exceptions: dict[int, str]) -> object:
    """A judge that prefers the good answer, except for some prompts, to which it always says the same."""

    def reply(messages: list[dict[str, str]]) -> str:
        text = messages[1]["content"]
        number = int(text.split("Question ")[1][:2])
        better = "A" if text.index("A good answer") < text.index("A poor answer") else "B"
        return exceptions.get(number, f"It is good.\nVerdict: {better}")

    return reply


def test_a_judge_is_asked_in_both_orders_and_every_prompt_is_accounted_for(tmp_path: Path) -> None:
    exceptions = {1: "Verdict: A", 2: "Verdict: B", 3: "Verdict: tie", 4: "I like both."}
    provider = Provider(reply=fair_but(exceptions))  # type: ignore[arg-type]
    provider.fault = lambda number, asked_before: "error_500" if number % 9 == 0 and asked_before == 0 else ""
    with provider:
        config, folder = configuration(provider, "judge"), run_folder(tmp_path, samples=2)
        figures = judge_stage.run(config, folder, SCREEN)
        assert figures["comparisons"] == 2 * PROMPTS
        assert figures["status"] == {"ok": 46, "unparsed": 2}
        assert figures["repairs"] == 2, "the unread ones were asked for once more"
        assert (figures["judged_twice"], figures["position_bias"]) == (23, round(2 / 23, 4))
        answered = provider.served["ok"]
        assert judge_stage.run(config, folder, SCREEN) == figures
        assert provider.served["ok"] == answered, "a second run calls nothing"
    rows = read_records(folder.path / "judgements", Judgement)
    assert Counter(row.id for row in rows).most_common(1)[0][1] == 1
    drafts = {draft.id: draft for draft in read_records(folder.path / "drafts", Draft)}
    assert len(drafts) == 2 * PROMPTS
    shown = Counter(
        (row.prompt_id, drafts[row.first_id].sample_index, drafts[row.second_id].sample_index) for row in rows
    )
    assert shown == {(draft.prompt_id, *order): 1 for draft in drafts.values() for order in ((0, 1), (1, 0))}
    assert all(drafts[row.first_id].prompt_id == drafts[row.second_id].prompt_id == row.prompt_id for row in rows)
    pairs = pairs_stage.run(config, folder, SCREEN)
    assert pairs["candidates"] == PROMPTS == pairs["pairs"] + sum(pairs["rejected"].values())
    assert pairs["rejected"] == {"position_bias": 2, "tie": 1, "unparsed": 1}
    made = read_records(folder.path / "pairs" / "train", Pair)
    assert all("good" in pair.chosen[0]["content"] and "poor" in pair.rejected[0]["content"] for pair in made)
    assert len({pair.prompt_id for pair in made}) == 20
    assert all(pair.rejected[0]["content"] == drafts[pair.draft_id].answer for pair in made)


def test_a_judge_whose_key_is_revoked_is_asked_only_for_the_rest_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYLIGN_TEST_KEY", KEY)
    provider = Provider(key=KEY, reply=fair_but({}), latency_seconds=0.02)  # type: ignore[arg-type]

    def fault(number: int, asked_before: int) -> str:
        if number == 20:
            provider.key = "sk-another"
        return ""

    provider.fault = fault
    with provider:
        config, folder = configuration(provider, "judge"), run_folder(tmp_path, samples=2)
        config.revise.api_key_env = "RAYLIGN_TEST_KEY"
        config.revise.requests_in_flight = 4
        with pytest.raises(EndpointError, match="RAYLIGN_TEST_KEY"):
            judge_stage.run(config, folder, SCREEN)
        kept = provider.served["ok"]
        assert 20 < kept < 2 * PROMPTS
        assert len(read_records(folder.path / "judgements", Judgement)) == kept, "what was paid for is kept"
        provider.key = KEY
        assert judge_stage.run(config, folder, SCREEN)["status"] == {"ok": 2 * PROMPTS}
        assert provider.served["ok"] == 2 * PROMPTS, "none was asked for twice"


def test_a_stronger_model_answers_the_conversation_itself(tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(messages: list[dict[str, str]]) -> str:
        asked.append(json.dumps(messages))
        return f"A stronger answer to {messages[-1]['content'].lower()}"

    with Provider(reply=reply) as provider:
        config, folder = configuration(provider, "stronger"), run_folder(tmp_path, samples=1)
        figures = revise_stage.run(config, folder, SCREEN)
        assert (figures["revisions"], figures["status"]) == (PROMPTS, {"ok": PROMPTS})
    drafts = read_records(folder.path / "drafts", Draft)
    assert {json.dumps(draft.messages) for draft in drafts} <= set(asked)
    assert not any("poor" in request or "good" in request for request in asked), "no draft is shown"
    pairs = pairs_stage.run(config, folder, SCREEN)
    assert (pairs["source"], pairs["candidates"], pairs["pairs"]) == ("stronger", PROMPTS, PROMPTS)
    made = read_records(folder.path / "pairs" / "train", Pair)
    assert all(pair.chosen[0]["content"].startswith("A stronger answer") for pair in made)
    assert {pair.template.split("@")[0] for pair in made} == {"direct"}
