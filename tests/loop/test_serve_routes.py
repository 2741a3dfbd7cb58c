"""Every route of the real application, taken from the application itself: closed without a key; and what we use of
ray.serve.llm's private parts is still there."""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylign.serve.guard import OPEN_PATH, GuardSettings

pytestmark = pytest.mark.loop  # it starts nothing, but the import of vLLM takes as long as a start

KEY = "a-key-of-the-endpoint"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from raylign.serve.ingress import Ingress, guarded_ingress

    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    return guarded_ingress(Ingress, GuardSettings(api_keys_file=str(keys)))[1]


def routes(app: Any) -> list[tuple[str, str]]:
    return [
        (method, route.path.replace("{model:path}", "base"))
        for route in app.routes
        for method in sorted((getattr(route, "methods", None) or {"GET"}) | {"OPTIONS"})
    ]


def ask(app: Any, asked: list[tuple[str, str]], headers: dict[str, str]) -> dict[tuple[str, str], httpx.Response]:
    async def run() -> dict[tuple[str, str], httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return {route: await client.request(*route, headers=headers, content=b"{}") for route in asked}

    return asyncio.run(run())


def test_the_list_of_routes_is_the_whole_api(app: Any) -> None:
    paths = {path for _, path in routes(app)}
    assert {"/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/score"} <= paths
    assert {"/tokenize", "/detokenize", "/docs", "/openapi.json", OPEN_PATH} <= paths


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong-key-0123456789"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": f"Bearer {KEY}x"},
        {"x-api-key": KEY},
        {"origin": "https://example.com", "access-control-request-method": "POST"},
    ],
)
def test_no_route_but_health_answers_without_a_key(app: Any, headers: dict[str, str]) -> None:
    asked = [*routes(app), ("GET", "/"), ("POST", "/v1/nothing"), ("GET", "/metrics"), ("DELETE", "/v1/models")]
    closed = [(method, path) for method, path in asked if path != OPEN_PATH]
    assert len(closed) > 20
    for route, answer in ask(app, closed, headers).items():
        assert answer.status_code == 401, route
        assert answer.headers["www-authenticate"] == "Bearer", route
        assert route[0] == "HEAD" or answer.json()["error"]["type"] == "invalid_request_error", route
        assert "access-control-allow-origin" not in answer.headers, route


def test_with_the_key_every_route_is_reached(app: Any) -> None:
    """Without a replica behind them handlers fail, but none of them for want of a key."""
    for route, answer in ask(app, routes(app), {"authorization": f"Bearer {KEY}"}).items():
        assert answer.status_code != 401, route


def test_the_private_parts_we_use_are_as_we_use_them() -> None:
    """A release of Ray that moves or changes one of these fails here, by name, and not at a user's start."""
    from ray._raylet import Config
    from ray.llm._internal.serve.core.configs.openai_api_models import to_model_metadata
    from ray.llm._internal.serve.core.ingress.ingress import DEFAULT_ENDPOINTS, init
    from ray.serve.deployment import Application
    from ray.serve.llm import build_llm_deployment
    from ray.serve.llm.deployment import LLMServer
    from ray.serve.llm.ingress import OpenAiIngress, make_fastapi_ingress

    assert list(inspect.signature(init).parameters) == []
    assert {"models", "model_data", "completions", "chat"} <= set(DEFAULT_ENDPOINTS)
    assert {"app", "endpoint_map"} <= set(inspect.signature(make_fastapi_ingress).parameters)
    assert {"llm_deployments", "model_cards"} <= set(inspect.signature(OpenAiIngress.__init__).parameters)
    assert list(inspect.signature(OpenAiIngress._get_configured_serve_handle).parameters) == ["self", "model_id"]
    assert {"deployment_cls", "name_prefix", "bind_kwargs"} <= set(inspect.signature(build_llm_deployment).parameters)
    assert list(inspect.signature(to_model_metadata).parameters)[:2] == ["model_id", "model_config"]
    assert list(inspect.signature(LLMServer._batch_output_stream).parameters) == ["self", "generator"]
    assert inspect.iscoroutinefunction(LLMServer.start)
    assert inspect.isclass(Application)
    assert callable(Config.initialize)
    for source in ("_default_serve_handles", "_configured_serve_handles"):
        assert source in inspect.getsource(OpenAiIngress.__mro__[1])
    assert "_llm_config" in inspect.getsource(LLMServer.__mro__[1])
    assert Path(inspect.getfile(init)).name == "ingress.py"
