"""Serve models for as long as a block runs: deploy, wait until they answer, take all of it down again. This acts."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import ray
from ray import serve
from ray.serve.schema import ApplicationStatus

from raylign import interrupt
from raylign.config import ServeConfig
from raylign.errors import EndpointError, ModelError, PlanError
from raylign.room import cluster_limits
from raylign.serve.guard import OPEN_PATH
from raylign.serve.host import base_url, choose_port
from raylign.serve.key_source import KeySource
from raylign.serve.plan import check_room
from raylign.serve.reason import startup_failure
from raylign.serve.running import APPLICATION
from raylign.serve.sources import read_catalogue

START_SECONDS = 1800.0
"""Longest wait for the engines; a failing one is noticed at once, so this is for large models and new machines."""
_FOR_CLIENTS = ("host", "api_keys_env", "api_keys_file", "max_request_bytes", "max_tokens_limit", "audit")
"""What a configuration says of other people's requests; an endpoint of raylign's own use has none."""
_SECONDS_BETWEEN_LOOKS = 1.0
_FIRST_ANSWER_SECONDS = 120.0


@contextmanager
def serve_models(models: dict[str, str], config: ServeConfig, trust_remote_code: bool = False) -> Iterator[str]:
    """Serve `models` on loopback for a program's own use, without key; yields the base URL, like `host_models`."""
    private = ServeConfig(host="127.0.0.1")
    own = {name: getattr(private, name) for name in _FOR_CLIENTS} | {
        "replicas_min": max(1, config.replicas_min),
        "drain_seconds": 20.0,  # whoever asked has gone by then
    }
    with host_models(models, replace(config, **own), trust_remote_code) as url:
        yield url


@contextmanager
def host_models(models: dict[str, str], config: ServeConfig, trust_remote_code: bool = False) -> Iterator[str]:
    """Serve `models` in the current Ray session; yields the base URL, such as http://127.0.0.1:8000/v1.

    Every model has answered a completion by then. At the end Serve is shut down and its resources are free.

    Args:
        models: Served name to model folder, hub id or `bundled`, or to the folder of an adapter on one of these.

    Raises:
        ConfigError: the port is taken, or the engine arguments are wrong.
        ModelError: a folder is no model, or an engine does not start on it.
        PlanError: the cluster has no room, or already runs Ray Serve.
        EndpointError: the endpoint does not come up, or a model does not answer.
    """
    catalogue = read_catalogue(models)
    _check_cluster(len(catalogue.models), config)
    port = choose_port(config.host, config.port)
    url = f"{base_url(config.host, port)}/v1"
    with root_logger_kept():
        from raylign.serve.app import assemble  # imports vLLM: many seconds, so only after the checks

        application = assemble(catalogue, config, trust_remote_code)
    try:
        _start_proxy(config.host, port)
        target = serve.RunTarget(application, name=APPLICATION, route_prefix="/")
        serve.run_many([target], wait_for_applications_running=False)
        _wait_until_running(time.monotonic() + START_SECONDS)
        _check_answers(url, catalogue.names, config)
        yield url
    finally:
        serve.shutdown()


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """Importing ray.serve.llm replaces the root logger's handlers and level; put back the caller's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _check_cluster(models: int, config: ServeConfig) -> None:
    status = serve.status()
    if status.applications or status.proxies:
        raise PlanError(
            "Ray Serve already runs in this cluster", "stop it with `serve shutdown`, or use another cluster"
        )
    limits = cluster_limits()
    check_room(models, config, limits.get("CPU", 0.0), limits.get("GPU", 0.0))


def _start_proxy(host: str, port: int) -> None:
    try:
        serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})
    except (RuntimeError, TimeoutError, ray.exceptions.RayError) as error:
        raise EndpointError(f"Ray Serve's HTTP proxy did not start on {host}:{port}: {error}") from error


def _wait_until_running(deadline: float) -> None:
    while True:
        interrupt.check()
        application = serve.status().applications[APPLICATION]
        if application.status == ApplicationStatus.RUNNING:
            return
        messages = {name: part.message for name, part in application.deployments.items() if part.message}
        if application.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
            raise ModelError(*startup_failure(messages or {APPLICATION: application.message}))
        if time.monotonic() > deadline:
            raise EndpointError(
                f"the models did not start within {START_SECONDS:.0f} s: {'; '.join(messages.values())}",
                "look at the cluster's free resources and the replicas' logs",
            )
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _check_answers(url: str, models: list[str], config: ServeConfig) -> None:
    """See from outside that the models answer: at /health, and in the model list where this process knows a key."""
    key = KeySource.of(config).one()
    headers = {"authorization": f"Bearer {key.reveal()}"} if key else {}
    try:
        with httpx.Client(timeout=_FIRST_ANSWER_SECONDS, trust_env=False, headers=headers) as client:
            client.get(f"{url.removesuffix('/v1')}{OPEN_PATH}").raise_for_status()
            if key is None and (config.api_keys_env or config.api_keys_file):
                return
            served = sorted(card["id"] for card in client.get(f"{url}/models").raise_for_status().json()["data"])
            for model in models:
                if model not in served:
                    raise EndpointError(f"{url} does not list model {model!r}, only {', '.join(served)}")
    except httpx.HTTPStatusError as error:
        answer = error.response
        raise EndpointError(f"{answer.url} answered {answer.status_code}: {answer.text[:300]}") from error
    except httpx.HTTPError as error:
        raise EndpointError(f"{url} does not answer: {error!r}") from error
