"""A drafting engine is kept full, whatever the batch size, and what the user sets for it wins."""

import pytest

from raylign.config import LoopConfig, SampleConfig
from raylign.engine import (
    EXECUTOR,
    IN_ENGINE,
    SEQUENCES_AT_ONCE,
    batches_at_once,
    engine_arguments,
    engine_environment,
)
from raylign.sample.stage import engine_settings


@pytest.mark.parametrize("batch_size", [1, 7, 32, 200, 256, 5000])
def test_an_engine_holds_half_as_many_rows_again_as_it_works_on(batch_size: int) -> None:
    batches = batches_at_once(batch_size, SEQUENCES_AT_ONCE)
    assert batches >= 2, "one is worked on while the last answers of another are awaited"
    assert batches * batch_size >= 1.5 * SEQUENCES_AT_ONCE
    assert batches == 2 or (batches - 1) * batch_size < 1.5 * SEQUENCES_AT_ONCE, "and no more than that"


def test_what_the_user_sets_for_the_engine_wins() -> None:
    config = LoopConfig(sample=SampleConfig(engine={"max_num_seqs": 64, "dtype": "float32"}))
    settings = engine_settings(config)
    assert (settings["max_num_seqs"], settings["dtype"]) == (64, "float32")
    assert settings["disable_log_stats"], "the rest stays"


def test_only_a_gpu_engine_is_given_more_tokens_at_once() -> None:
    """On CPU prompts are prefilled whole, and 4,096 tokens are the most that are in one step anyway."""
    cpu = engine_settings(LoopConfig())
    gpu = engine_settings(LoopConfig(sample=SampleConfig(gpus_per_engine=2)))
    assert (cpu["max_num_batched_tokens"], gpu["max_num_batched_tokens"]) == (4096, 8192)
    assert gpu["tensor_parallel_size"] == 2


def test_a_whole_model_on_cpu_computes_in_its_engines_process_unless_the_user_says_where() -> None:
    def executor(gpus: int, **further: object) -> object:
        asked = {"dtype": "float32", "max_model_len": 64, "seed": 0, "trust_remote_code": False}
        return engine_arguments(gpus=gpus, **asked, further=further).get(EXECUTOR)

    assert executor(0) == IN_ENGINE
    assert executor(0, tensor_parallel_size=2) is None, "two ranks are two processes"
    assert executor(0, **{EXECUTOR: "mp"}) == "mp"
    assert executor(1) is None, "on GPUs Ray and vLLM decide"


def test_an_engine_that_compiles_no_model_compiles_nothing_else_either() -> None:
    """vLLM would, at the first request for log-probabilities: five seconds in which nobody is answered."""

    def compiles(gpus: int, **further: object) -> bool:
        asked = {"dtype": "float32", "max_model_len": 64, "seed": 0, "trust_remote_code": False}
        arguments = engine_arguments(gpus=gpus, **asked, further=further)
        found = engine_environment(gpus=gpus, engines_per_host=1, cores=2, arguments=arguments)
        return found.get("TORCHDYNAMO_DISABLE") != "1"

    assert not compiles(0)
    assert compiles(0, enforce_eager=False), "what the user asks for is compiled"
    assert compiles(1), "on GPUs compiling pays"
