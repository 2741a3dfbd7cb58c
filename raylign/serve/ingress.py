"""The router before the models: ray.serve.llm's, with our guard before its routes and /health beside them. This acts.

Importing this module imports vLLM. The app is put together from parts of ray.serve.llm that are not public; a test
holds them to what is used here.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from ray import serve
from ray.llm._internal.serve.core.ingress.ingress import DEFAULT_ENDPOINTS, init
from ray.serve.handle import DeploymentHandle
from ray.serve.llm.ingress import OpenAiIngress, make_fastapi_ingress
from ray.serve.llm.openai_api_models import CompletionRequest
from starlette.exceptions import HTTPException

from raylign.serve.guard import OPEN_PATH, Guard, GuardSettings
from raylign.serve.health import Health
from raylign.serve.openai_errors import Refusal


class Ingress(OpenAiIngress):  # type: ignore[misc]  # Ray has no types
    """Routes by model name, as its parent does; tells whether the models answer."""

    def __init__(
        self,
        llm_deployments: dict[str, DeploymentHandle],
        model_cards: dict[str, Any],
        settings: GuardSettings,
        adapters: dict[str, str],
    ) -> None:
        """Adapters are served names, each with that of the model whose engine carries it."""
        settings.check()  # here and not at the first request, so that a router without its keys does not start
        handles = llm_deployments | {name: llm_deployments[model] for name, model in adapters.items()}
        cards = model_cards | {
            name: model_cards[model].model_copy(update={"id": name, "parent": model})
            for name, model in adapters.items()
        }
        super().__init__(llm_deployments=handles, model_cards=cards)
        for name in adapters:  # the parent would know an adapter by a colon in its name
            handle = handles[name].options(stream=True, multiplexed_model_id=name)
            self._configured_serve_handles[name] = handle
        self._health = Health(list(llm_deployments), self._answers)

    async def health(self) -> JSONResponse:
        """200 where every model answers, 503 where one does not; it names none of them."""
        good = await self._health.good()
        return JSONResponse({"status": "ok" if good else "unavailable"}, status_code=200 if good else 503)

    async def _answers(self, model: str) -> bool:
        if await asyncio.to_thread(_sleeps, self._default_serve_handles[model]):
            return True
        request = CompletionRequest(model=model, prompt="Hello", max_tokens=1)
        async for reply in self._get_configured_serve_handle(model).completions.remote(request, None):
            return hasattr(reply, "choices")
        return False


def _sleeps(handle: DeploymentHandle) -> bool:
    """Whether a model was scaled to zero and is well: asking it for an answer would wake it."""
    application = serve.status().applications.get(handle.app_name)
    found = application and application.deployments.get(handle.deployment_name)
    return bool(found and found.status == "HEALTHY" and not sum(found.replica_states.values()))


async def _in_openais_shape(request: Request, error: Exception) -> Response:
    """What the router says of a model that is not served, or a route that is not there."""
    assert isinstance(error, HTTPException)
    code = "model_not_found" if error.status_code == 404 and "model" in str(error.detail) else "invalid_request"
    refusal = Refusal(error.status_code, str(error.detail), code)
    return Response(refusal.body(), refusal.status, error.headers, "application/json")


def make_ingress(settings: GuardSettings) -> type:
    """The router's deployment class, whose app carries the guard."""
    return guarded_ingress(Ingress, settings)[0]


def guarded_ingress(cls: type, settings: GuardSettings) -> tuple[type, FastAPI]:
    """The class with its routes, and the app before it is frozen into the class."""
    app, cors = init(), cast(Any, CORSMiddleware)
    # Ray lets web pages of any origin call the endpoint; on a laptop's loopback that would be every page one visits.
    app.user_middleware = [entry for entry in app.user_middleware if entry.cls is not cors]
    app.add_exception_handler(HTTPException, _in_openais_shape)
    app.add_middleware(Guard, settings=settings)  # what is added last comes first
    routes: dict[str, Callable[[FastAPI], Any]] = {**DEFAULT_ENDPOINTS, "health": lambda app: app.get(OPEN_PATH)}
    return make_fastapi_ingress(cls, endpoint_map=routes, app=app), app
