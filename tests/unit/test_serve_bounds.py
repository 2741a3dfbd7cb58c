"""What a request may ask for."""

import json
from typing import Any

import pytest

from raylign.serve.bounds import Bounds, check_tokens, read_body
from raylign.serve.openai_errors import Refusal

BOUNDS = Bounds(request_bytes=1000, tokens=100)


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        ({"max_tokens": 100}, True),
        ({"max_tokens": 101}, False),
        ({"max_completion_tokens": 101}, False),
        ({"max_tokens": 1, "max_completion_tokens": 101}, False),
        ({"max_tokens": "101"}, False),  # pydantic reads this as a number too
        ({"max_tokens": 101.0}, False),
        ({"max_tokens": 1e400}, True),  # no number: left to the application's own validation
        ({"max_tokens": None}, True),
        ({}, True),  # the engine ends such an answer at the limit
        ({"n": 2}, False),
        ({"n": 2, "max_tokens": 50}, True),
        ({"n": 2, "max_tokens": 51}, False),
        ({"best_of": 3, "max_tokens": 34}, False),
        ({"n": 0, "max_tokens": 100}, True),
        ({"prompt": ["a", "b"], "max_tokens": 50}, True),
        ({"prompt": ["a", "b"], "max_tokens": 51}, False),
        ({"prompt": [[1, 2], [3]], "n": 2, "max_tokens": 26}, False),
        ({"prompt": [1, 2, 3], "max_tokens": 100}, True),  # one prompt of three token ids
    ],
)
def test_the_limit_counts_every_answer_in_every_spelling(request_: dict[str, Any], allowed: bool) -> None:
    refusal = check_tokens(request_, BOUNDS)
    assert (refusal is None) == allowed
    if refusal:
        assert refusal.status == 400
        assert "the limit of a request is 100" in refusal.message
    assert check_tokens(request_, Bounds(1000)) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_400(body: bytes) -> None:
    refusal = read_body(body)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 400


def test_a_refusal_has_the_shape_of_openais_errors() -> None:
    refusal = check_tokens({"max_tokens": 500}, BOUNDS)
    assert refusal is not None
    error = json.loads(refusal.body())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == "max_tokens"
    assert error["type"] == "invalid_request_error"
