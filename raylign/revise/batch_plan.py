"""What goes into the files of a provider's batch endpoint, and what comes back in them, line by line. Pure.

The format is OpenAI's (https://platform.openai.com/docs/api-reference/batch): a request a line, found again by its
`custom_id`, which here is the key that the journal keeps the reply under. Results come in any order, those with an
answer in an output file, the others in an error file.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from raylign.config import ReviseConfig
from raylign.records import Message
from raylign.revise.budget import price_of
from raylign.revise.chat_request import chat_request
from raylign.revise.failures import Failure, failure_of_status
from raylign.revise.reasons import Reason
from raylign.revise.replies import Reply, read_completion
from raylign.revise.templates import request_key

ENDPOINT: Final = "/v1/chat/completions"
_DETAIL_CHARACTERS = 300
_NEVER_RUN = frozenset({"batch_expired", "batch_cancelled"})
"""Error codes of requests that the provider had not come to when their batch ended."""


@dataclass(frozen=True)
class BatchRequest:
    """One request of a batch."""

    key: str
    line: bytes
    """Its line in the input file, with the line's end."""
    usd: float
    """More than it can cost."""


@dataclass(frozen=True)
class Result:
    """What came of one request; a `Failure` that was never `sent` is one the batch never came to."""

    key: str
    outcome: Reply | Failure


def price_share(revise: ReviseConfig) -> float:
    """Of the endpoint's price, what a request in a batch is charged with."""
    return 1.0 - revise.batch_discount


def batch_request(
    messages: list[Message], revise: ReviseConfig, response_format: dict[str, Any] | None
) -> BatchRequest:
    """The line that asks in a batch exactly what a call of its own would ask.

    Characters beyond ASCII are escaped: some readers take U+2028 and its like for the end of a line.
    """
    key = request_key(revise, messages)
    body = chat_request(
        revise.base_url or "", revise.model, messages, revise.max_tokens, revise.temperature, response_format
    )
    line = json.dumps(
        {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}, ensure_ascii=True, separators=(",", ":")
    )
    usd = price_of(revise).most_usd(messages, revise.max_tokens) * price_share(revise)
    return BatchRequest(key, line.encode() + b"\n", usd)


@dataclass(frozen=True)
class BatchLimits:
    """What the provider takes in one batch."""

    requests: int
    size: int
    """Bytes of the input file."""


@dataclass
class Filling:
    """How full a batch is that is being put together."""

    requests: int = 0
    size: int = 0
    usd: float = 0.0
    """More than it can cost."""
    largest_usd: float = 0.0
    """The same of its dearest request."""

    def takes(self, request: BatchRequest, limits: BatchLimits) -> bool:
        """Whether this request still fits."""
        return self.requests < limits.requests and self.size + len(request.line) <= limits.size

    def add(self, request: BatchRequest) -> None:
        """Count a request in."""
        self.requests += 1
        self.size += len(request.line)
        self.usd += request.usd
        self.largest_usd = max(self.largest_usd, request.usd)


def batch_limits(revise: ReviseConfig) -> BatchLimits:
    """The configured limits."""
    return BatchLimits(revise.batch_requests, int(revise.batch_megabytes * 1e6))


def read_keys(lines: Iterable[bytes]) -> Iterator[str]:
    """The keys of an input file's requests."""
    return (json.loads(line)["custom_id"] for line in lines)


def read_result(line: bytes, share: float) -> Result | None:
    """What a line of an output or error file says; None for one that names no request.

    Args:
        share: Of the endpoint's price, what the reply was charged with.
    """
    try:
        row = json.loads(line)
        key = row["custom_id"]
        if not isinstance(key, str):
            return None
        return Result(key, _outcome(row.get("response"), row.get("error"), share))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _outcome(response: dict[str, Any] | None, error: dict[str, Any] | None, share: float) -> Reply | Failure:
    if not response:
        code, message = (str((error or {}).get(name) or "") for name in ("code", "message"))
        detail = f"{code}: {message}"[:_DETAIL_CHARACTERS]
        return Failure(Reason.SERVER_ERROR, detail, sent=code not in _NEVER_RUN)
    status, body = int(response["status_code"]), response.get("body")
    if status >= 300:
        said = (body.get("error") if isinstance(body, dict) else None) or {}
        code, message = (str(said.get(name) or "") for name in ("code", "message"))
        return failure_of_status(status, code, message[:_DETAIL_CHARACTERS])
    return read_completion(json.dumps(body), str(response.get("request_id") or ""), share)
