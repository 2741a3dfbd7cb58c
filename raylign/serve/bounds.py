"""What a request to the endpoint may ask for: its size, its JSON, the tokens it wants; pure."""

import json
from dataclasses import dataclass
from typing import Any

from raylign.serve.openai_errors import Refusal

_TOKEN_FIELDS = ("max_tokens", "max_completion_tokens")
_COPIES = ("n", "best_of")


@dataclass(frozen=True)
class Bounds:
    """Limits on one request."""

    request_bytes: int
    """Largest body."""
    tokens: int | None = None
    """Most tokens that all answers to a request may have together; None for no limit but the context length."""


def too_large(bounds: Bounds) -> Refusal:
    """The answer to a body beyond the limit; it is given before the rest of the body is read."""
    return Refusal(413, f"the request is larger than {bounds.request_bytes} bytes", "request_too_large")


def read_body(body: bytes) -> dict[str, Any] | Refusal:
    """The JSON object of a request's body."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return Refusal(400, "the request's body is not JSON", "invalid_json")
    if not isinstance(value, dict):
        return Refusal(400, "the request's body is no JSON object", "invalid_json")
    return value


def check_tokens(request: dict[str, Any], bounds: Bounds) -> Refusal | None:
    """A refusal where a request asks for more tokens than it may.

    An answer without a limit of its own counts as one of `bounds.tokens`, where the engine ends it. Numbers are
    read as leniently as the application behind reads them ("64", 64.0), so that none slips by in another spelling;
    what is no number at all is left to its own validation.
    """
    if bounds.tokens is None:
        return None
    named = [(field, value) for field in _TOKEN_FIELDS if (value := _whole(request.get(field))) is not None]
    field, tokens = max(named, key=lambda pair: pair[1], default=("max_tokens", bounds.tokens))
    copies = max((value for name in _COPIES if (value := _whole(request.get(name))) is not None), default=1)
    answers = max(1, copies) * _prompts(request)
    if tokens * answers <= bounds.tokens:
        return None
    said = f"{field} is {tokens}" if named else f"{field} is not set and counts as {bounds.tokens}"
    times = f" for each of {answers} answers" if answers > 1 else ""
    return Refusal(400, f"{said}{times}; the limit of a request is {bounds.tokens}", "max_tokens_limit", field)


def _prompts(request: dict[str, Any]) -> int:
    """How many prompts a completion request holds: a list of texts, or of lists of token ids, is a batch."""
    prompt = request.get("prompt")
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return len(prompt)
    return 1


def _whole(value: object) -> int | None:
    if isinstance(value, str | int | float):
        try:
            return int(float(value))
        except (ValueError, OverflowError):
            return None
    return None
