"""`raylign serve status`: what is served, from where, by how many replicas, under which load. This acts."""

from pathlib import Path

import httpx

from raylign.serve.guard import OPEN_PATH
from raylign.serve.look import Deployment, deployment_name, read_deployment
from raylign.serve.record import Record, read_record
from raylign.serve.running import APPLICATION, ongoing_requests, serve_details, session_of
from raylign.serve.sources import read_catalogue
from raylign.serve.table import Row, lines

_HEALTH_SECONDS = 70.0


def serve_status(folder: Path) -> list[str]:
    """Lines for a person on the endpoint that a folder records.

    Raises:
        InputError: nothing is recorded there.
        PlanError: what is recorded runs no more.
    """
    record = read_record(folder)
    catalogue = read_catalogue(record.models)
    with session_of(record):
        details = serve_details()
        found = {name: read_deployment(details, APPLICATION, deployment_name(name)) for name in catalogue.models}
        ongoing = {name: _ongoing(deployment) for name, deployment in found.items()}
    carried = {adapter.name: adapter.model for adapter in catalogue.adapters}
    rows = [
        Row(name, source, carried.get(name), found[carried.get(name, name)], ongoing[carried.get(name, name)])
        for name, source in record.models.items()
    ]
    return lines(record.url, _health(record), record.started, rows)


def _ongoing(deployment: Deployment | None) -> int | None:
    if deployment is None:
        return None
    counts = [ongoing_requests(deployment.actors[replica]) for replica in deployment.running]
    return None if None in counts else sum(count or 0 for count in counts)


def _health(record: Record) -> str:
    try:
        with httpx.Client(timeout=_HEALTH_SECONDS, trust_env=False) as client:
            answer = client.get(record.url.removesuffix("/v1") + OPEN_PATH)
    except httpx.HTTPError as error:
        return f"does not answer: {error!r}"
    return "healthy" if answer.status_code == 200 else "a model does not answer"
