"""A chat provider for the tests: a real HTTP server that speaks the OpenAI API, limits, fails on order, and counts.

It runs in a thread on loopback. What goes wrong is decided by `fault`, a function of the request's number and of
how often this same conversation was asked before; so a test can say "every seventh conversation fails once".
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("error_500", "drop", "malformed", "not_json", "no_choices", "empty", "truncated", "filtered", "hang", "limit")


def no_fault(number: int, asked_before: int) -> str:
    """Everything goes well."""
    return ""


def echo_reply(messages: list[dict[str, str]]) -> str:
    """A reply that depends on the request alone."""
    return f"Short and clear: {messages[-1]['content'][-40:]}"


@dataclass
class Provider:
    """The provider's settings and what it counted; it serves at `url` for as long as a `with` block runs."""

    key: str = ""
    """Required as a bearer token; empty takes anyone."""
    models: tuple[str, ...] = ("editor",)
    lists_models: bool = True
    takes_formats: bool = True
    """Whether a `response_format` is allowed; otherwise it is a bad request."""
    requests_per_minute: float = float("inf")
    burst: int = 5
    """Requests that may come at once before the rate binds."""
    latency_seconds: float = 0.0
    hang_seconds: float = 30.0
    fault: Callable[[int, int], str] = no_fault
    reply: Callable[[list[dict[str, str]]], str] = echo_reply

    url: str = ""
    served: Counter[str] = field(default_factory=Counter)
    """Answers by kind: ok, 401, 404, 429, or a fault's name."""
    formats: list[Any] = field(default_factory=list)
    """Each chat request's `response_format`; None where it had none."""
    asked: Counter[str] = field(default_factory=Counter)
    """Chat requests by conversation, refused ones left out."""
    arrivals: list[float] = field(default_factory=list)
    last: str = ""
    """The conversation that `fault` decides on, as JSON."""
    in_flight: int = 0
    most_in_flight: int = 0
    early: int = 0
    """Requests that came before a Retry-After was over."""
    level: float = 0.0
    filled_at: float = 0.0
    closed_until: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "Provider":
        self.level, self.filled_at = self.burst, time.monotonic()
        self.server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def wait_for_room(self) -> float:
        """Seconds until the rate allows a request, 0 when it takes this one."""
        now = time.monotonic()
        if self.requests_per_minute == float("inf"):
            return 0.0
        per_second = self.requests_per_minute / 60
        self.level = min(self.burst, self.level + (now - self.filled_at) * per_second)
        self.filled_at = now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        return (1 - self.level) / per_second


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: Provider

    def log_message(self, *arguments: Any) -> None:
        """Say nothing on the screen."""

    def do_GET(self) -> None:
        if not self._known_caller():
            return
        if self.path == "/v1/models" and self.provider.lists_models:
            self._answer(
                200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.provider.models]}
            )
        else:
            self._error(404, "not_found", f"no route {self.path}")

    def do_POST(self) -> None:
        provider = self.provider
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with provider.lock:
            provider.in_flight += 1
            provider.most_in_flight = max(provider.most_in_flight, provider.in_flight)
        try:
            if self._known_caller():
                self._chat(request)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the caller gave up waiting
        finally:
            with provider.lock:
                provider.in_flight -= 1

    def _known_caller(self) -> bool:
        provider = self.provider
        sent = self.headers.get("Authorization", "")
        if provider.key and sent != f"Bearer {provider.key}":
            provider.served["401"] += 1
            self._error(401, "invalid_api_key", f"Incorrect API key provided: {sent}")  # as careless as some are
            return False
        return True

    def _chat(self, request: dict[str, Any]) -> None:
        provider = self.provider
        if self.path != "/v1/chat/completions" or request["model"] not in provider.models:
            provider.served["404"] += 1
            self._error(404, "model_not_found", f"the model {request['model']} does not exist")
            return
        if "response_format" in request and not provider.takes_formats:
            provider.served["400"] += 1
            self._error(400, "unsupported", "unknown field response_format")
            return
        with provider.lock:
            provider.arrivals.append(time.monotonic())
            provider.formats.append(request.get("response_format"))
            provider.early += time.monotonic() < provider.closed_until
            wait = provider.wait_for_room()
            self.provider.last = conversation = json.dumps(request["messages"])
            fault = "" if wait else provider.fault(len(provider.arrivals) - 1, provider.asked[conversation])
            if not wait:
                provider.asked[conversation] += 1
            if fault == "limit":
                wait, provider.closed_until = 1.0, time.monotonic() + 1.0
            provider.served["429" if wait else fault or "ok"] += 1
        if wait:
            self._error(429, "rate_limit_exceeded", "slow down", {"Retry-After": f"{wait:.3f}"})
            return
        time.sleep(provider.latency_seconds)
        getattr(self, f"_{fault}", self._complete)(request)

    def _complete(self, request: dict[str, Any], finish_reason: str = "stop", text: str | None = None) -> None:
        text = self.provider.reply(request["messages"]) if text is None else text
        usage = {
            "prompt_tokens": sum(len(message["content"].split()) for message in request["messages"]),
            "completion_tokens": len(text.split()),
        }
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
        self._answer(200, {"id": "chat-1", "object": "chat.completion", "choices": [choice], "usage": usage})

    def _empty(self, request: dict[str, Any]) -> None:
        self._complete(request, text="")

    def _truncated(self, request: dict[str, Any]) -> None:
        self._complete(request, "length", "This reply was still going on when")

    def _filtered(self, request: dict[str, Any]) -> None:
        self._complete(request, "content_filter", "")

    def _hang(self, request: dict[str, Any]) -> None:
        time.sleep(self.provider.hang_seconds)
        self._complete(request)

    def _error_500(self, request: dict[str, Any]) -> None:
        self._error(500, "server_error", "the server had a bad moment")

    def _drop(self, request: dict[str, Any]) -> None:
        self.close_connection = True  # and no word

    def _malformed(self, request: dict[str, Any]) -> None:
        self._send(200, b'{"id": "chat-1", "choices": [{"message": {"content": "half a')

    def _not_json(self, request: dict[str, Any]) -> None:
        self._send(200, b"<html>a gateway speaks</html>", "text/html")

    def _no_choices(self, request: dict[str, Any]) -> None:
        self._answer(200, {"id": "chat-1", "object": "chat.completion", "choices": []})

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        body = {"error": {"message": message, "code": code, "type": "error"}}
        self._send(status, json.dumps(body).encode(), headers=headers)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, json.dumps(body).encode())

    def _send(
        self, status: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
