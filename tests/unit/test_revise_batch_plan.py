"""Lines of batch files, their limits, their results, and what is done about a batch in each of its states."""

import json
from typing import Any

import pytest

from raylign.config import ReviseConfig
from raylign.revise.batch_plan import BatchLimits, BatchRequest, Filling, batch_request, read_keys, read_result
from raylign.revise.batch_steps import BatchReport, Step, explain_end, next_step, progress_words
from raylign.revise.chat_request import chat_request
from raylign.revise.failures import Failure
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply
from raylign.revise.structured import RESPONSE_FORMAT
from raylign.revise.templates import load_template, request_key

URL = "https://api.openai.com/v1"
COMPLETION = {
    "id": "chatcmpl-1",
    "choices": [{"message": {"role": "assistant", "content": "Since."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 2},
}


def revise(**changes: Any) -> ReviseConfig:
    return ReviseConfig(base_url=URL, model="editor", template="clair", max_tokens=50, **changes)


def request_of(content: str, config: ReviseConfig) -> BatchRequest:
    return batch_request([{"role": "user", "content": content}], config, load_template(config).response_format)


def test_a_line_asks_what_a_call_would_ask_under_the_key_of_the_journal() -> None:
    config = revise(reply_format="json_schema")
    messages = [{"role": "user", "content": "Why?"}]
    line = json.loads(request_of("Why?", config).line)
    assert line == {
        "custom_id": request_key(config, messages),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": chat_request(URL, "editor", messages, 50, config.temperature, RESPONSE_FORMAT),
    }
    assert line["body"]["max_completion_tokens"] == 50


def test_a_text_with_any_kind_of_line_end_takes_one_line() -> None:
    line = request_of("one\ntwo\r\u2028three\u0085\x0c“four”", revise()).line
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["body"]["messages"][0]["content"] == "one\ntwo\r\u2028three\u0085\x0c“four”"


def test_the_bound_of_a_request_is_lower_by_the_discount() -> None:
    """Four bytes and 16 tokens of format at $10 a million, 50 reply tokens at $20: $0.0012, of which 40% are left."""
    prices = {"usd_per_million_prompt_tokens": 10.0, "usd_per_million_reply_tokens": 20.0}
    assert request_of("Why?", revise(batch_discount=0.6, **prices)).usd == pytest.approx(0.0012 * 0.4)


def test_a_batch_is_full_at_its_requests_or_at_its_bytes() -> None:
    request, filling = BatchRequest("k", b"x" * 10, 0.5), Filling()
    filling.add(request)
    filling.add(BatchRequest("l", b"x" * 20, 0.25))
    assert (filling.requests, filling.size, filling.usd, filling.largest_usd) == (2, 30, 0.75, 0.5)
    assert filling.takes(request, BatchLimits(requests=3, size=40))
    assert not filling.takes(request, BatchLimits(requests=2, size=40))
    assert not filling.takes(request, BatchLimits(requests=3, size=39))


def test_the_keys_of_an_input_file_are_read_back() -> None:
    requests = [request_of(text, revise()) for text in ("Why?", "How?")]
    assert list(read_keys(request.line for request in requests)) == [request.key for request in requests]


def result_line(status: int, body: object, error: object = None) -> bytes:
    response = {"status_code": status, "request_id": "req_9", "body": body}
    return json.dumps({"id": "r", "custom_id": "ab", "response": response if status else None, "error": error}).encode()


def test_an_output_line_is_the_reply_a_call_would_bring_at_the_price_of_a_batch() -> None:
    result = read_result(result_line(200, COMPLETION), 0.5)
    assert result is not None
    assert (result.key, result.outcome) == ("ab", Reply("Since.", "stop", "", 20, 2, "req_9", 0.5))


@pytest.mark.parametrize(
    ("line", "reason", "sent"),
    [
        (result_line(400, {"error": {"code": "context_length_exceeded", "message": "too long"}}), "bad_request", True),
        (result_line(429, {"error": None}), "rate_limited", True),
        (result_line(500, "<html>"), "server_error", True),
        (result_line(200, {"choices": []}), "bad_response", True),
        (result_line(0, None, {"code": "batch_expired", "message": "time is over"}), "server_error", False),
        (result_line(0, None, {"code": "batch_cancelled", "message": ""}), "server_error", False),
        (result_line(0, None, {"code": "unknown", "message": ""}), "server_error", True),
        (result_line(0, None), "server_error", True),
    ],
)
def test_a_line_without_a_reply_is_a_typed_failure(line: bytes, reason: str, sent: bool) -> None:
    result = read_result(line, 0.5)
    assert result is not None
    assert isinstance(result.outcome, Failure)
    assert (result.outcome.reason, result.outcome.sent) == (Reason(reason), sent)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b"{}", b'{"custom_id": 3}', b"\xff", b"[" * 100_000])
def test_a_line_that_names_no_request_is_passed_over(line: bytes) -> None:
    assert read_result(line, 0.5) is None


@pytest.mark.parametrize(
    ("status", "code", "others_open", "step"),
    [
        ("validating", "", False, Step.WAIT),
        ("in_progress", "", False, Step.WAIT),
        ("finalizing", "", False, Step.WAIT),
        ("cancelling", "", False, Step.WAIT),
        ("a_new_state", "", False, Step.WAIT),
        ("completed", "", False, Step.COLLECT),
        ("expired", "", False, Step.RESUBMIT),
        ("cancelled", "", False, Step.GIVE_UP),
        ("failed", "invalid_json_line", True, Step.GIVE_UP),
        ("failed", "token_limit_exceeded", True, Step.POSTPONE),
        ("failed", "token_limit_exceeded", False, Step.GIVE_UP),
    ],
)
def test_each_state_has_its_step(status: str, code: str, others_open: bool, step: Step) -> None:
    report = BatchReport("batch_1", status, errors=((code, "words"),) if code else ())
    assert next_step(report, others_open) is step


def test_the_end_of_a_batch_is_explained_with_its_errors_and_a_cure() -> None:
    failed = BatchReport("batch_1", "failed", errors=(("invalid_url", "line 1 is wrong"),))
    assert "batch_1 failed" in str(explain_end(failed, URL))
    assert "invalid_url: line 1 is wrong" in str(explain_end(failed, URL))
    queue = BatchReport("batch_1", "failed", errors=(("token_limit_exceeded", "full"),))
    assert "revise.batch_requests" in str(explain_end(queue, URL))
    assert "cancelled" in str(explain_end(BatchReport("batch_1", "cancelled"), URL))
    assert "expired" in str(explain_end(BatchReport("batch_1", "expired"), URL))


def test_progress_counts_the_requests_of_open_batches() -> None:
    reports = [BatchReport("a", "in_progress", 200, 120, 3), BatchReport("b", "finalizing", 100, 100, 0)]
    words = progress_words(1, reports)
    assert words == "batches: 1 ended, 2 open (finalizing, in_progress): 220 of 300 requests done, 3 failed"
