"""The guard before a small application: who gets in, what is turned down, what the audit log says."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from raylign.errors import ConfigError
from raylign.serve.guard import Guard, GuardSettings

KEY, OTHER = "a-key-of-the-endpoint", "another-of-the-endpoint"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3}


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> dict[str, Any]:
        body = await request.json()
        return {"seen": body, "headers": dict(request.headers), "usage": USAGE}

    @app.post("/stream")
    async def stream(request: Request) -> StreamingResponse:
        return StreamingResponse(events(), media_type="text/event-stream")

    return app


async def events() -> AsyncIterator[str]:
    for number in range(3):
        yield f"data: {json.dumps({'choices': [number]})}\n\n"
        await asyncio.sleep(0.1)
    yield f"data: {json.dumps({'choices': [], 'usage': USAGE})}\n\ndata: [DONE]\n\n"


@pytest.fixture
def settings(tmp_path: Path) -> GuardSettings:
    (tmp_path / "keys").write_text(f"{KEY}\n{OTHER}\n")
    return GuardSettings(
        api_keys_file=str(tmp_path / "keys"), max_request_bytes=2000, audit_file=str(tmp_path / "logs" / "audit.jsonl")
    )


def send(settings: GuardSettings, method: str, path: str, key: str | None = KEY, **options: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(Guard(application(), settings))  # type: ignore[arg-type]
        headers = options.pop("headers", {}) | ({"authorization": f"Bearer {key}"} if key else {})
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, headers=headers, **options)

    return asyncio.run(run())


def audit(settings: GuardSettings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(settings.audit_file or "").read_text().splitlines()]


@pytest.mark.parametrize("key", [None, "wrong-key-0123456789", f"{KEY} ", ""])
def test_without_a_right_key_the_answer_is_openais_401(settings: GuardSettings, key: str | None) -> None:
    if key == f"{KEY} ":  # a header's value has no spaces around it, so this is the right key
        assert send(settings, "POST", "/v1/chat/completions", key, json={}).status_code == 200
        return
    answer = send(settings, "POST", "/v1/chat/completions", key, json={})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_each_key_opens_and_health_needs_none(settings: GuardSettings) -> None:
    for key in (KEY, OTHER):
        assert send(settings, "POST", "/v1/chat/completions", key, json={}).status_code == 200
    assert send(settings, "GET", "/health", None).json() == {"status": "ok"}
    for path in ("/health/", "/Health", "/v1/health", "//health"):
        assert send(settings, "GET", path, None).status_code == 401


def test_a_preflight_needs_a_key_too(settings: GuardSettings) -> None:
    asked = {"origin": "https://example.com", "access-control-request-method": "POST"}
    assert send(settings, "OPTIONS", "/v1/chat/completions", None, headers=asked).status_code == 401


def test_a_web_socket_is_closed(settings: GuardSettings) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def note(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(application(), settings)({"type": "websocket", "path": "/", "headers": []}, receive, note))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_application_never_sees_the_key(settings: GuardSettings) -> None:
    answer = send(settings, "POST", "/v1/chat/completions", json={"a": 1})
    assert answer.json()["seen"] == {"a": 1}
    assert "authorization" not in answer.json()["headers"]
    assert KEY not in answer.text


def test_a_large_body_is_a_413_with_and_without_a_stated_length(settings: GuardSettings) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    for content in (b"x" * 2001, pieces()):
        answer = send(settings, "POST", "/v1/chat/completions", content=content)
        assert answer.status_code == 413
        assert "2000 bytes" in answer.json()["error"]["message"]
    assert send(settings, "POST", "/v1/chat/completions", None, content=b"x" * 2001).status_code == 401


def test_wrong_json_and_too_many_tokens_are_400s(settings: GuardSettings) -> None:
    bounded = replace(settings, max_tokens_limit=10)
    assert send(bounded, "POST", "/v1/chat/completions", content=b"{").json()["error"]["code"] == "invalid_json"
    refused = send(bounded, "POST", "/v1/chat/completions", json={"max_tokens": 11})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "max_tokens")
    assert send(bounded, "POST", "/v1/chat/completions", json={"max_tokens": 10}).status_code == 200


def test_a_stream_passes_part_by_part(settings: GuardSettings) -> None:
    """Through the application interface itself, for httpx's transport gathers the whole reply first."""
    times: list[float] = []

    async def run() -> None:
        loop, bodies = asyncio.get_running_loop(), [{"type": "http.request", "body": b"{}", "more_body": False}]

        async def receive() -> Any:
            if bodies:
                return bodies.pop()
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def note(message: Any) -> None:
            if message.get("body"):
                times.append(loop.time())

        scope = {"type": "http", "method": "POST", "path": "/stream", "query_string": b"", "root_path": ""}
        headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/json")]
        await Guard(application(), settings)(scope | {"headers": headers}, receive, note)

    asyncio.run(run())
    assert len(times) == 4
    assert times[-1] - times[0] > 0.25


def test_the_log_has_sizes_and_fingerprints_and_no_text_and_no_key(settings: GuardSettings) -> None:
    sizes = replace(settings, audit="sizes", max_tokens_limit=10)
    asked = {"model": "aligned", "messages": [{"role": "user", "content": "a private question"}]}
    send(sizes, "POST", "/v1/chat/completions", json=asked, headers={"x-request-id": "request-1"})
    send(sizes, "POST", "/stream", json={"stream": True, "model": "base"})
    send(sizes, "POST", "/v1/chat/completions", "wrong-key-0123456789", json=asked)
    send(sizes, "POST", "/v1/chat/completions", json={"max_tokens": 99})
    first, stream, wrong, bound = audit(sizes)
    assert (first["request_id"], first["model"], first["status"], first["whole"]) == ("request-1", "aligned", 200, True)
    assert (first["prompt_tokens"], first["completion_tokens"]) == (7, 3)
    assert first["request_bytes"] == len(json.dumps(asked, separators=(",", ":")))
    assert (stream["stream"], stream["completion_tokens"]) == (True, 3)
    assert stream["seconds"] >= 0.25
    assert (wrong["status"], wrong["key"]) == (401, None)
    assert (bound["status"], bound["key"]) == (400, first["key"])
    written = Path(sizes.audit_file or "").read_text()
    for hidden in (KEY, "wrong-key", "private question"):
        assert hidden not in written
    assert Path(sizes.audit_file or "").stat().st_mode & 0o077 == 0


def test_the_log_has_texts_only_where_asked_for(settings: GuardSettings) -> None:
    texts = replace(settings, audit="texts")
    send(texts, "POST", "/v1/chat/completions", json={"model": "base", "prompt": "a question"})
    (entry,) = audit(texts)
    assert entry["request"]["prompt"] == "a question"
    assert "usage" in entry["reply"]


def test_what_cannot_work_is_said_before_the_first_request(tmp_path: Path) -> None:
    for wrong in (
        GuardSettings(api_keys_file=str(tmp_path / "nowhere")),
        GuardSettings(api_keys_env="A_VARIABLE_THAT_IS_NOT_SET"),
        GuardSettings(audit="sizes", audit_file="/proc/audit.jsonl"),
    ):
        with pytest.raises(ConfigError):
            wrong.check()
