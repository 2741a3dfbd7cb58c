"""An engine's output becomes a draft that says where it came from, whether it was cut, and why it failed."""

from typing import Any

import pyarrow as pa
import pytest

from raylign.config import LoopConfig, SampleConfig
from raylign.records import Prompt
from raylign.sample.drafts import draft_id, engine_row, read_batch, sampling_parameters, to_draft, waiting_samples

PROMPT = Prompt("p", [{"role": "user", "content": "Why?"}], "train", "set")
SAMPLE = SampleConfig(max_tokens=10)


def output(**values: Any) -> dict[str, Any]:
    good = {"generated_text": "Because.", "num_generated_tokens": 3, "num_input_tokens": 9, "__inference_error__": ""}
    return good | values


def test_a_good_answer() -> None:
    draft = to_draft(PROMPT, output(), "model", SAMPLE, seed=0)
    assert (draft.answer, draft.answer_tokens, draft.prompt_tokens) == ("Because.", 3, 9)
    assert (draft.status, draft.cut_off, draft.prompt_id) == ("ok", False, "p")


@pytest.mark.parametrize(("tokens", "cut"), [(9, False), (10, True)])
def test_an_answer_that_used_up_its_tokens_is_cut_off(tokens: int, cut: bool) -> None:
    assert to_draft(PROMPT, output(num_generated_tokens=tokens), "model", SAMPLE, seed=0).cut_off is cut


def test_a_failed_generation_is_a_row_with_its_reason() -> None:
    failed = {"__inference_error__": "ValueError: prompt too long", "generated_text": "", "num_generated_tokens": None}
    draft = to_draft(PROMPT, failed, "model", SAMPLE, seed=0)
    assert (draft.status, draft.detail, draft.answer, draft.cut_off) == (
        "engine_error",
        "ValueError: prompt too long",
        "",
        False,
    )


def test_id_depends_on_what_made_the_draft_and_not_on_what_it_says() -> None:
    def identity(prompt: Prompt = PROMPT, model: str = "model", sample: SampleConfig = SAMPLE, seed: int = 0) -> str:
        return to_draft(prompt, output(generated_text=str(seed)), model, sample, seed).id

    assert identity() == to_draft(PROMPT, output(generated_text="Other."), "model", SAMPLE, 0).id
    others = {
        identity(prompt=Prompt("q", PROMPT.messages, "train", "set")),
        identity(model="other"),
        identity(sample=SampleConfig(max_tokens=10, temperature=0.1)),
        identity(seed=1),
    }
    assert len(others | {identity()}) == 5


def test_a_second_sample_of_the_same_prompt_has_an_id_of_its_own() -> None:
    sampling = str(sampling_parameters(SAMPLE))
    assert draft_id(PROMPT, "m", sampling, 0, sample_index=0) != draft_id(PROMPT, "m", sampling, 0, sample_index=1)


def test_samples_of_a_prompt_stand_side_by_side_and_only_missing_ones_wait() -> None:
    config = LoopConfig(sample=SampleConfig(samples=3))
    prompts = [PROMPT, Prompt("q", PROMPT.messages, "train", "set")]
    waiting = waiting_samples(prompts, config, set())
    assert [(prompt.id, index) for prompt, index in waiting] == [
        ("p", 0), ("p", 1), ("p", 2), ("q", 0), ("q", 1), ("q", 2),
    ]  # fmt: skip
    drafts = [to_draft(prompt, output(), config.model, config.sample, 0, index) for prompt, index in waiting]
    assert [draft.sample_index for draft in drafts] == [0, 1, 2, 0, 1, 2]
    assert len({draft.id for draft in drafts}) == 6
    written = {draft.id for draft in drafts if draft.sample_index != 1}
    assert [(prompt.id, index) for prompt, index in waiting_samples(prompts, config, written)] == [("p", 1), ("q", 1)]
    assert waiting_samples(prompts, config, {draft.id for draft in drafts}) == []


def test_one_sample_more_keeps_the_ids_of_those_before() -> None:
    one, two = (LoopConfig(sample=SampleConfig(samples=count)) for count in (1, 2))
    drafted = {to_draft(PROMPT, output(), one.model, one.sample, one.seed).id}
    assert [index for _, index in waiting_samples([PROMPT], two, drafted)] == [1]


def test_no_seed_in_a_request() -> None:
    assert set(sampling_parameters(SAMPLE)) == {"max_tokens", "temperature", "top_p"}


def test_a_block_of_outputs_needs_nothing_but_itself_to_become_drafts() -> None:
    """The prompt comes along, text that no other encoding holds included; a failed row may lack columns."""
    prompt = Prompt("p", [{"role": "user", "content": 'Why "so"? ☃'}], "heldout", "set")
    rows = [
        engine_row(prompt, 1, [1, 2]) | output(time_taken_llm=2.5),
        engine_row(prompt, 0, [1, 2]) | {"__inference_error__": "ValueError: too long"},
    ]
    batch = read_batch(pa.Table.from_pylist(rows), LoopConfig())
    assert [(draft.messages, draft.split, draft.sample_index) for draft in batch.drafts] == [
        (prompt.messages, "heldout", 1),
        (prompt.messages, "heldout", 0),
    ]
    assert [draft.status for draft in batch.drafts] == ["ok", "engine_error"]
    assert (batch.tokens, batch.longest_seconds) == (3, 2.5)
