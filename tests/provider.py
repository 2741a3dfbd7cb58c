"""A chat provider for tests and benchmarks: a real HTTP server that speaks the OpenAI API, limits, fails, and counts.

In a test it runs in a thread of its own on loopback (`with Provider(...)`). What goes wrong is decided by `fault`, a
function of the request's number and of how often this same conversation was asked before; so a test can say "every
seventh conversation fails once". A benchmark runs it as a process of its own (`python tests/provider.py --help`),
reads its counts at `/count` and changes its limits at `/limits`.
"""

import argparse
import asyncio
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from provider_batches import Batches

FAULTS = ("error_500", "drop", "malformed", "not_json", "no_choices", "empty", "truncated", "filtered", "hang", "limit")


def no_fault(number: int, asked_before: int) -> str:
    """Everything goes well."""
    return ""


def echo_reply(messages: list[dict[str, str]]) -> str:
    """A reply that depends on the request alone."""
    return f"Short and clear: {messages[-1]['content'][-40:]}"


class _Bucket:
    """A limit of a minute that fills evenly; as much as `burst` may be taken at once."""

    def __init__(self, per_minute: float, burst: float) -> None:
        self.per_second, self.burst = per_minute / 60, burst
        self.level, self.at = burst, time.monotonic()

    def wait_seconds(self, units: float) -> float:
        """Seconds until so much may be taken; a request larger than the burst passes a full bucket."""
        if math.isinf(self.per_second):
            return 0.0
        now = time.monotonic()
        self.level = min(self.burst, self.level + (now - self.at) * self.per_second)
        self.at = now
        return max(0.0, min(units, self.burst) - self.level) / self.per_second


@dataclass
class Provider:
    """The provider's settings and what it counted; it serves at `url` for as long as a `with` block runs."""

    key: str = ""
    """Required as a bearer token; empty takes anyone."""
    models: tuple[str, ...] = ("editor",)
    lists_models: bool = True
    takes_formats: bool = True
    """Whether a `response_format` is allowed; otherwise it is a bad request."""
    requests_per_minute: float = math.inf
    tokens_per_minute: float = math.inf
    """Words of prompts and replies, which are this provider's tokens."""
    burst: float = 5
    """Requests that may come at once before the rate binds."""
    states_limits: bool = False
    """Tell the limits in every response's headers, as OpenAI does."""
    latency_seconds: float = 0.0
    hang_seconds: float = 30.0
    fault: Callable[[int, int], str] = no_fault
    reply: Callable[[list[dict[str, str]]], str] = echo_reply

    batches: Batches | None = None
    """The batch endpoint; None has none."""

    url: str = ""
    served: Counter[str] = field(default_factory=Counter)
    """Answers by kind: ok, 401, 404, 429, or a fault's name."""
    formats: list[Any] = field(default_factory=list)
    """Each chat request's `response_format`; None where it had none."""
    tokens: Counter[str] = field(default_factory=Counter)
    """Prompt and reply tokens of all replies that were whole chat completions."""
    asked: Counter[str] = field(default_factory=Counter)
    """Chat requests by conversation, refused ones left out."""
    arrivals: list[float] = field(default_factory=list)
    accepted: list[tuple[float, int]] = field(default_factory=list)
    """Time and tokens of the requests that passed the limits."""
    last: str = ""
    """The conversation that `fault` decides on, as JSON."""
    last_model: str = ""
    """The model that `reply` speaks for."""
    in_flight: int = 0
    most_in_flight: int = 0
    early: int = 0
    """Requests that came before a Retry-After was over."""
    closed_until: float = 0.0

    def __enter__(self) -> "Provider":
        started = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self.thread.start()
        started.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        runner = self.loop.run_until_complete(self.start(0))
        started.set()
        self.loop.run_forever()
        self.loop.run_until_complete(runner.cleanup())
        self.loop.close()

    async def start(self, port: int) -> web.AppRunner:
        """Listen on loopback, in the running event loop."""
        self.set_limits(self.requests_per_minute, self.tokens_per_minute)
        application = web.Application(client_max_size=2**26)
        application.router.add_get("/count", self._count)
        application.router.add_post("/limits", self._change_limits)
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=4096)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return runner

    def set_limits(self, requests_per_minute: float, tokens_per_minute: float) -> None:
        """Allow so much from now on."""
        self.requests_per_minute, self.tokens_per_minute = requests_per_minute, tokens_per_minute
        self.requests = _Bucket(requests_per_minute, self.burst)
        self.all_tokens = _Bucket(tokens_per_minute, max(1.0, tokens_per_minute / 60))

    async def _count(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "served": self.served, "tokens": self.tokens, "asked_twice": sum(n - 1 for n in self.asked.values()),
                "conversations": len(self.asked), "most_in_flight": self.most_in_flight, "in_flight": self.in_flight,
                "arrivals": len(self.arrivals), "accepted": self.accepted, "now": time.monotonic(),
            }
        )  # fmt: skip

    async def _change_limits(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        self.set_limits(wanted.get("requests_per_minute", math.inf), wanted.get("tokens_per_minute", math.inf))
        return web.json_response({"at": time.monotonic()})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            sent = request.headers.get("Authorization", "")
            if self.key and sent != f"Bearer {self.key}":
                self.served["401"] += 1
                return _error(401, "invalid_api_key", f"Incorrect API key provided: {sent}")  # as careless as some are
            if self.batches is not None and request.path.startswith(("/v1/files", "/v1/batches")):
                return await self.batches.answer(request, self)
            if request.path == "/v1/chat/completions":
                return await self._chat(request)
            if request.path == "/v1/models" and self.lists_models:
                cards = [{"id": name, "object": "model"} for name in self.models]
                return web.json_response({"object": "list", "data": cards})
            return _error(404, "not_found", f"no route {request.path}")
        finally:
            self.in_flight -= 1

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        if asked["model"] not in self.models:
            self.served["404"] += 1
            return _error(404, "model_not_found", f"the model {asked['model']} does not exist")
        if "response_format" in asked and not self.takes_formats:
            self.served["400"] += 1
            return _error(400, "unsupported", "unknown field response_format")
        now = time.monotonic()
        self.arrivals.append(now)
        self.formats.append(asked.get("response_format"))
        self.early += now < self.closed_until
        self.last_model = asked["model"]
        text = self.reply(asked["messages"])
        tokens = self.count_tokens(asked["messages"], text)
        wait = max(self.requests.wait_seconds(1), self.all_tokens.wait_seconds(sum(tokens.values())))
        self.last = conversation = json.dumps(asked["messages"])
        fault = "" if wait else self.fault(len(self.arrivals) - 1, self.asked[conversation])
        if not wait:
            self.asked[conversation] += 1
        if fault == "limit":
            wait, self.closed_until = 1.0, now + 1.0
        self.served["429" if wait else fault or "ok"] += 1
        if wait:
            return _error(429, "rate_limit_exceeded", "slow down", {"Retry-After": f"{wait:.3f}", **self._stated()})
        self.requests.level -= 1
        self.all_tokens.level -= sum(tokens.values())
        self.accepted.append((now, sum(tokens.values())))
        await asyncio.sleep(self.latency_seconds)
        return await self._reply(request, fault, text, tokens)

    async def _reply(self, request: web.Request, fault: str, text: str, tokens: dict[str, int]) -> web.StreamResponse:
        if fault == "error_500":
            return _error(500, "server_error", "the server had a bad moment")
        if fault == "drop":
            if request.transport is not None:
                request.transport.abort()  # and no word
            return web.Response()
        if fault == "malformed":
            return web.Response(body=b'{"id": "chat-1", "choices": [{"message": {"content": "half a')
        if fault == "not_json":
            return web.Response(body=b"<html>a gateway speaks</html>", content_type="text/html")
        if fault == "no_choices":
            return web.json_response({"id": "chat-1", "object": "chat.completion", "choices": []})
        if fault == "hang":
            await asyncio.sleep(self.hang_seconds)
        return web.json_response(self.completion(fault, text, tokens), headers=self._stated())

    def count_tokens(self, messages: list[dict[str, str]], text: str) -> dict[str, int]:
        """Usage of a request and its reply."""
        return {
            "prompt_tokens": sum(_words(message["content"]) for message in messages),
            "completion_tokens": _words(text),
        }

    def completion(self, fault: str, text: str, tokens: dict[str, int]) -> dict[str, Any]:
        """A whole chat completion, its tokens counted."""
        text, finish = {
            "empty": ("", "stop"),
            "truncated": ("This reply was still going on when", "length"),
            "filtered": ("", "content_filter"),
        }.get(fault, (text, "stop"))
        usage = {**tokens, "completion_tokens": _words(text)}
        self.tokens.update(usage)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        return {"id": "chat-1", "object": "chat.completion", "choices": [choice], "usage": usage}

    def _stated(self) -> dict[str, str]:
        if not self.states_limits:
            return {}
        limits = {"requests": self.requests_per_minute, "tokens": self.tokens_per_minute}
        return {f"x-ratelimit-limit-{what}": f"{limit:.0f}" for what, limit in limits.items() if math.isfinite(limit)}


def _words(text: str) -> int:
    return len(text.split())


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "code": code, "type": "error"}}
    return web.json_response(body, status=status, headers=headers)


async def _run(provider: Provider, port: int) -> None:
    await provider.start(port)
    print(provider.url, flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed; the first line printed is the base URL."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--requests-per-minute", type=float, default=math.inf)
    parser.add_argument("--tokens-per-minute", type=float, default=math.inf)
    parser.add_argument("--burst", type=float, default=5, help="requests that may come at once")
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    parser.add_argument("--states-limits", action="store_true", help="tell the limits in response headers")
    arguments = vars(parser.parse_args())
    port = arguments.pop("port")
    asyncio.run(_run(Provider(**arguments), port))


if __name__ == "__main__":
    main()
