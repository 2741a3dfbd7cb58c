"""What the audit log says of a request: who, what, how much, how long; pure.

A line a request. Keys appear as fingerprints only; texts appear in the form `texts` alone.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

_LARGEST_REPLY = 4_000_000
"""Bytes of a reply that are kept until its end, to read its token counts and, where asked for, its text."""


@dataclass
class Entry:
    """One request, filled in as it goes on."""

    at: str
    """When it came, in ISO 8601, UTC."""
    request_id: str
    key: str | None
    """Fingerprint of the key; None where none was needed or none fitted."""
    method: str
    path: str
    model: str | None = None
    stream: bool = False
    status: int = 0
    """HTTP status; 0 where the client went away before there was one."""
    whole: bool = False
    """Whether the reply was sent to its end."""
    request_bytes: int = 0
    reply_bytes: int = 0
    prompt_tokens: int | None = None
    """As the reply states it: a stream does where the client asked for `stream_options.include_usage`."""
    completion_tokens: int | None = None
    seconds: float = 0.0


class Reply:
    """The bytes of a reply as they pass, as far as the log needs them."""

    def __init__(self) -> None:
        self.bytes = 0
        self._kept = bytearray()

    def add(self, part: bytes) -> None:
        """Take note of a part."""
        self.bytes += len(part)
        if len(self._kept) < _LARGEST_REPLY:
            self._kept += part

    def text(self) -> str:
        """What was kept, as text."""
        return self._kept.decode("utf-8", "replace")

    def usage(self) -> tuple[int | None, int | None]:
        """Prompt and completion tokens, where the reply states them."""
        for line in [self.text(), *reversed(self.text().splitlines())]:
            if '"usage"' not in line:
                continue
            try:
                value = json.loads(line.removeprefix("data: "))
            except ValueError:
                continue
            usage = value.get("usage") if isinstance(value, dict) else None
            if isinstance(usage, dict):
                return usage.get("prompt_tokens"), usage.get("completion_tokens")
        return None, None


def line(entry: Entry, request: dict[str, Any] | None, reply: Reply, texts: bool) -> str:
    """The entry as one line of JSON; `texts` adds what was asked and what was answered."""
    record = asdict(entry)
    if texts:
        record |= {"request": request, "reply": reply.text()}
    return json.dumps(record, ensure_ascii=False) + "\n"
