"""The line a person reads when an engine does not start; the inputs have the shape of Ray Serve's reports."""

from raylign.serve.reason import startup_failure

TOO_LONG = """The deployment failed to start 1 times in a row. See controller logs for details. Error:
\x1b[36mray::ServeReplica:raylign:LLMServer:reviser.initialize_and_get_metadata()\x1b[39m (pid=1, ip=192.0.2.2)
  File "replica.py", line 1928, in initialize
    raise RuntimeError(traceback.format_exc()) from None
RuntimeError: Traceback (most recent call last):
  File "vllm_engine.py", line 222, in _get_vllm_engine_config
    raise RuntimeError(f"Failed to create vLLM engine config: {e}") from None
RuntimeError: Failed to create vLLM engine config: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (100000) is greater than the derived max_model_len \
(max_position_embeddings=8192.0). To allow overriding this maximum, set VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. \
It must be used with extreme caution. If the model uses relative position encoding, positions exceeding \
derived_max_model_len lead to nan. [type=value_error, input_value=ArgsKwargs(()), input_type=ArgsKwargs]
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""


def test_a_context_that_is_too_long_names_the_model_the_limit_and_the_field() -> None:
    message, cure = startup_failure({"OpenAiIngress": "", "LLMServer:reviser": TOO_LONG})
    assert message.startswith("model 'reviser' did not start: User-specified max_model_len (100000) is greater")
    assert "8192" in message
    assert "type=value_error" not in message
    assert "Traceback" not in message
    assert "serve.max_model_len" in cure


def test_an_engine_that_died_keeps_its_last_words_and_says_where_more_is() -> None:
    text = (
        "RuntimeError: Traceback:\n  File x\nRuntimeError: Engine core initialization failed. See root cause above.\n"
    )
    message, cure = startup_failure({"LLMServer:base": text})
    assert message == "model 'base' did not start: Engine core initialization failed. See root cause above"
    assert "worker-*.err" in cure


def test_the_model_that_failed_is_named_not_the_one_still_starting() -> None:
    message, cure = startup_failure(
        {"LLMServer:base": "has taken more than 30s to initialize", "LLMServer:aligned": "ValueError: no memory left"}
    )
    assert message == "model 'aligned' did not start: no memory left"
    assert "kv_cache_memory_bytes" in cure


def test_a_message_without_an_exception_is_passed_on_and_kept_short() -> None:
    message, _ = startup_failure({"LLMServer:base": "it stopped. " * 100})
    assert message.startswith("the models did not start: it stopped.")
    assert len(message) < 400
