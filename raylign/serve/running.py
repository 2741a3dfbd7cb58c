"""An endpoint that another process started: reach its Ray session, and see what Serve says of it. This acts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray import serve

from raylign.errors import PlanError
from raylign.serve.record import Record
from raylign.session import init_ray, prepare_environment

APPLICATION = "raylign"
_RESTART = "it was stopped or has died: start `raylign serve` again"


@contextmanager
def session_of(record: Record) -> Iterator[None]:
    """Join the Ray session of an endpoint; one that this process is in already is used as it is.

    Raises:
        PlanError: the session has gone, or serves nothing any more.
    """
    joined = not ray.is_initialized()
    if not joined and ray.get_runtime_context().gcs_address != record.address:
        raise PlanError(f"this process is in another Ray session than {record.address}", "leave that one first")
    if joined:
        prepare_environment()
        _use_access(record.access)
        try:
            init_ray(address=record.address)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise PlanError(f"no Ray session answers at {record.address}", _RESTART) from error
    try:
        if APPLICATION not in serve.status().applications:
            raise PlanError(f"the Ray session at {record.address} serves nothing", _RESTART)
        yield
    finally:
        if joined:
            ray.shutdown()


def _use_access(mode: str | None) -> None:
    """Use the token that Ray keeps for its user: it does so by itself only where it starts a cluster."""
    if mode is not None and "RAY_AUTH_MODE" not in os.environ:
        from ray import _raylet

        os.environ["RAY_AUTH_MODE"] = mode
        _raylet.Config.initialize("")  # type: ignore[attr-defined]  # Ray has read its environment by now


def serve_details() -> dict[str, Any]:
    """All that Serve knows of its applications, as its dashboard shows it; replicas have no public form."""
    from ray.serve.context import _get_global_client

    client = _get_global_client()
    assert client is not None
    found: dict[str, Any] = client.get_serve_details()
    return found


def ongoing_requests(actor: str) -> int | None:
    """Requests that a replica works on; None where it does not say so soon."""
    try:
        handle = ray.get_actor(actor, namespace="serve")
        return int(ray.get(handle.get_num_ongoing_requests.remote(), timeout=5))
    except (ValueError, AttributeError, ray.exceptions.RayError):
        return None
