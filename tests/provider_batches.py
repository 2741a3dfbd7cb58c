"""The batch endpoint of the tests' provider: files go in, batches are worked off as time passes, results come out.

It speaks OpenAI's form of `/v1/files` and `/v1/batches`. Each line of a batch has the provider's own `reply` and
`fault`, as a call would have; how whole batches end is decided by `fate`.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from provider import Provider


@dataclass(frozen=True)
class Fate:
    """How a batch ends."""

    status: str = "completed"
    """`completed`, `failed`, `expired` or `cancelled`."""
    done: int | None = None
    """Requests it comes to before that; None for all."""
    code: str = "invalid_json_line"
    """What is wrong, where it failed."""


@dataclass
class Batches:
    """The endpoint's settings and what it counted."""

    seconds: float = 0.0
    """Time a batch takes."""
    fate: Callable[[int], Fate] = lambda number: Fate()
    """By the number of the batch, from 0."""
    most_open: int | None = None
    """A further batch fails, as one does whose tokens exceed the account's queue."""
    page: int = 2
    """Batches in one answer of the listing."""
    oldest_first: bool = False
    """Order of the listing; OpenAI's is the other."""
    lost_answers: int = 0
    """So many batches are made, and nobody is told."""
    broken_downloads: int = 0
    """So many downloads break off halfway."""
    errors: list[int] = field(default_factory=list)
    """Statuses that the next requests get instead of their answers."""

    files: dict[str, bytes] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    """Names of the files that came."""
    made: list[dict[str, Any]] = field(default_factory=list)
    """Every batch, in order; each with its `window`."""
    listings: int = 0
    asked: int = 0
    """Requests that batches came to."""

    async def answer(self, request: web.Request, provider: "Provider") -> web.StreamResponse:
        """Any request to the two endpoints."""
        if self.errors:
            status = self.errors.pop(0)
            return web.json_response({"error": {"message": "not now", "code": "", "type": "error"}}, status=status)
        match [request.method, *request.path.strip("/").split("/")[1:]]:
            case ["POST", "files"]:
                return await self._upload(request)
            case ["GET", "files", name, "content"] if name in self.files:
                return await self._content(request, self.files[name])
            case ["POST", "batches"]:
                return self._create(await request.json(), request.transport)
            case ["GET", "batches"]:
                return self._list(request.query)
            case ["GET", "batches", name]:
                for batch in self.made:
                    if batch["id"] == name:
                        self._work(batch, provider)
                        return web.json_response(batch)
        return web.json_response({"error": {"message": f"no {request.path}", "code": "", "type": "error"}}, status=404)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        file = form["file"]
        assert isinstance(file, web.FileField)
        self.uploads.append(file.filename)
        name = self._keep(file.file.read())
        return web.json_response({"id": name, "object": "file", "purpose": "batch", "filename": file.filename})

    def _keep(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    async def _content(self, request: web.Request, content: bytes) -> web.StreamResponse:
        if self.broken_downloads:
            self.broken_downloads -= 1
            response = web.StreamResponse(headers={"Content-Length": str(len(content))})
            await response.prepare(request)
            await response.write(content[: len(content) // 2])
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(body=content)

    def _create(self, asked: dict[str, Any], transport: asyncio.Transport | None) -> web.Response:
        open_ones = sum(batch["status"] == "in_progress" for batch in self.made)
        batch = {
            "id": f"batch_{len(self.made)}", "object": "batch", "endpoint": asked["endpoint"], "status": "in_progress",
            "input_file_id": asked["input_file_id"], "completion_window": asked["completion_window"],
            "metadata": asked["metadata"], "created_at": int(time.time()), "started": time.monotonic(),
            "request_counts": {"total": self.files[asked["input_file_id"]].count(b"\n"), "completed": 0, "failed": 0},
        }  # fmt: skip
        if self.most_open is not None and open_ones >= self.most_open:
            self._fail(batch, "token_limit_exceeded", "Enqueued token limit reached.")
        self.made.append(batch)
        if self.lost_answers and transport is not None:
            self.lost_answers -= 1
            transport.abort()
        return web.json_response(batch)

    def _fail(self, batch: dict[str, Any], code: str, message: str) -> None:
        batch["status"] = "failed"
        batch["request_counts"] = {"total": 0, "completed": 0, "failed": 0}
        batch["errors"] = {"object": "list", "data": [{"code": code, "message": message}]}

    def _list(self, query: Any) -> web.Response:
        self.listings += 1
        listed = self.made if self.oldest_first else self.made[::-1]
        after = next((at + 1 for at, batch in enumerate(listed) if batch["id"] == query.get("after")), 0)
        page = listed[after : after + self.page]
        more = after + self.page < len(listed)
        return web.json_response({"object": "list", "data": page, "has_more": more})

    def _work(self, batch: dict[str, Any], provider: "Provider") -> None:
        """Bring a batch to where it should be by now."""
        counts, elapsed = batch["request_counts"], time.monotonic() - batch["started"]
        if batch["status"] != "in_progress":
            return
        if elapsed < self.seconds:
            counts["completed"] = int(counts["total"] * elapsed / self.seconds)
            return
        fate = self.fate(self.made.index(batch))
        if fate.status == "failed":
            self._fail(batch, fate.code, "line 1 is not what it should be")
            return
        lines = self.files[batch["input_file_id"]].splitlines()
        results = [self._ask(json.loads(line), provider) for line in lines[: fate.done]]
        results += [_not_run(json.loads(line), fate.status) for line in lines[len(results) :]]
        answered = [result for result in results if result and result["error"] is None and _status(result) == 200]
        others = [result for result in results if result and result not in answered]
        for name, group in (("output_file_id", answered[::-1]), ("error_file_id", others)):  # in no certain order
            if group:
                rows = (json.dumps(result, ensure_ascii=False) + "\n" for result in group)
                batch[name] = self._keep("".join(rows).encode())
        batch["status"] = fate.status
        batch["request_counts"] = {"total": len(lines), "completed": len(answered), "failed": len(others)}

    def _ask(self, line: dict[str, Any], provider: "Provider") -> dict[str, Any] | None:
        """What one request of a batch brings; None where it is lost without a word."""
        assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
        messages = line["body"]["messages"]
        provider.last = conversation = json.dumps(messages)
        fault = provider.fault(self.asked, provider.asked[conversation])
        self.asked += 1
        provider.asked[conversation] += 1
        status, text = {"error_500": 500, "limit": 429, "bad": 400}.get(fault, 200), provider.reply(messages)
        body: dict[str, Any] = {"error": {"message": f"status {status}", "code": fault}}
        if status == 200:
            body = provider.completion(fault, text, provider.count_tokens(messages, text))
        if fault == "no_choices":
            body["choices"] = []
        response = {"status_code": status, "request_id": f"req_{self.asked}", "body": body}
        return None if fault == "drop" else {"custom_id": line["custom_id"], "response": response, "error": None}


def _status(result: dict[str, Any]) -> int:
    return int(result["response"]["status_code"])


def _not_run(line: dict[str, Any], status: str) -> dict[str, Any]:
    error = {"code": f"batch_{status}", "message": "This request was not come to before its batch ended."}
    return {"custom_id": line["custom_id"], "response": None, "error": error}
