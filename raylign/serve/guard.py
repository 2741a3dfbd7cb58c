"""Stands before every route of the endpoint: key, size, JSON, tokens; keeps the audit log. This acts.

It is plain ASGI, so a stream passes part by part as it comes. Beyond it no handler, log or replica sees a key.
"""

import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raylign.config import ServeConfig
from raylign.errors import ConfigError
from raylign.serve.audit import Entry, Reply, line
from raylign.serve.bounds import Bounds, check_tokens, read_body, too_large
from raylign.serve.key_source import KeySource
from raylign.serve.keys import presented_key
from raylign.serve.openai_errors import NO_KEY, WRONG_KEY, Refusal

OPEN_PATH = "/health"
"""The one path that needs no key: it says whether the models answer, and nothing else."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class GuardSettings:
    """What the guard needs to know; it travels to the router's replicas, and holds no key."""

    api_keys_env: str | None = None
    api_keys_file: str | None = None
    max_request_bytes: int = 4_000_000
    max_tokens_limit: int | None = None
    audit: str = "off"
    audit_file: str | None = None

    @classmethod
    def of(cls, config: ServeConfig) -> "GuardSettings":
        """The settings of a configuration, which names the audit file where it asks for one."""
        return cls(
            config.api_keys_env,
            config.api_keys_file,
            config.max_request_bytes,
            config.max_tokens_limit,
            config.audit,
            config.audit_file,
        )

    def check(self) -> None:
        """Raise a ConfigError where the keys cannot be read here, or the audit log cannot be written here."""
        KeySource(self.api_keys_env, self.api_keys_file).read()
        if self.audit != "off":
            os.close(_open_log(self.audit_file or ""))


class Guard:
    """The middleware."""

    def __init__(self, app: Application, settings: GuardSettings) -> None:
        self.app, self.settings = app, settings
        self.keys = KeySource(settings.api_keys_env, settings.api_keys_file)
        self.bounds = Bounds(settings.max_request_bytes, settings.max_tokens_limit)
        self.log = None if settings.audit == "off" else _open_log(settings.audit_file or "")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":  # no route speaks web sockets; one that Ray adds would need a check of its own
            await send({"type": "websocket.close", "code": 1008})
        elif _path(scope) == OPEN_PATH:
            await self.app(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, send)
        try:
            refused = self._check_key(scope, exchange.entry)
            passed = refused or await self._check_body(scope, receive, exchange)
            if isinstance(passed, Refusal):
                await exchange.refuse(passed)
            else:
                await self.app(_without_key(scope), passed, exchange.send)
        finally:
            if self.log is not None:
                os.write(self.log, exchange.line(self.settings.audit == "texts").encode())

    def _check_key(self, scope: MutableMapping[str, Any], entry: Entry) -> Refusal | None:
        keys = self.keys.current()
        if keys is None:
            return None
        presented = presented_key(scope["headers"])
        if presented is None:
            return NO_KEY
        entry.key = keys.match(presented)
        return None if entry.key else WRONG_KEY

    async def _check_body(
        self, scope: MutableMapping[str, Any], receive: Receive, exchange: "_Exchange"
    ) -> Receive | Refusal:
        """What gives the application the body once more, or why it does not get it."""
        stated = _header(scope, b"content-length")
        if stated.isdigit() and int(stated) > self.bounds.request_bytes:
            return too_large(self.bounds)
        body = await _read(receive, self.bounds.request_bytes)
        if body is None:
            return too_large(self.bounds)
        exchange.entry.request_bytes = len(body)
        if scope["method"] == "POST" and not _header(scope, b"content-type").startswith(b"multipart/"):
            request = read_body(body)
            if isinstance(request, Refusal):
                return request
            exchange.note(request)
            if refusal := check_tokens(request, self.bounds):
                return refusal
        return _once_more(body, receive)


class _Exchange:
    """One request and its reply, as the audit log will tell them."""

    def __init__(self, scope: MutableMapping[str, Any], send: Send) -> None:
        self._send, self._started = send, time.perf_counter()
        self.entry = Entry(
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            request_id=_header(scope, b"x-request-id").decode("latin-1"),
            key=None,
            method=scope["method"],
            path=scope["path"],
        )
        self.request: dict[str, Any] | None = None
        self.reply = Reply()

    def note(self, request: dict[str, Any]) -> None:
        model = request.get("model")
        self.entry.model = model if isinstance(model, str) else None
        self.entry.stream = request.get("stream") is True
        self.request = request

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.entry.status = message["status"]
        elif message["type"] == "http.response.body":
            self.reply.add(message.get("body", b""))
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.entry.whole = True

    async def refuse(self, refusal: Refusal) -> None:
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": refusal.headers()})
        body = b"" if self.entry.method == "HEAD" else refusal.body()
        await self.send({"type": "http.response.body", "body": body})

    def line(self, texts: bool) -> str:
        entry = self.entry
        entry.reply_bytes = self.reply.bytes
        entry.prompt_tokens, entry.completion_tokens = self.reply.usage()
        entry.seconds = round(time.perf_counter() - self._started, 4)
        return line(entry, self.request, self.reply, texts)


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body; None as soon as it is beyond the limit. A client that goes away has sent what it has sent."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        more = message["type"] == "http.request" and message.get("more_body", False)
    return bytes(body)


def _once_more(body: bytes, receive: Receive) -> Receive:
    """A channel that gives the body and then what comes from the client, which is word that it has gone."""
    given = False

    async def channel() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return channel


def _without_key(scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Ray hands a request's headers on to the engine's process; the key must not travel with them."""
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name.lower() != b"authorization"]}


def _header(scope: MutableMapping[str, Any], name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key.lower() == name), b"")


def _path(scope: MutableMapping[str, Any]) -> str:
    """The path below the application's own prefix."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _open_log(path: str) -> int:
    """The audit log, open for whole lines at its end, for its owner's eyes."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the audit log {path!r} cannot be written: {error.strerror}", "set serve.audit_file, or serve.audit=off"
        ) from error
