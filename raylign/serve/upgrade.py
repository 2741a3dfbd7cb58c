"""Put another checkpoint behind a served name while the endpoint runs, with no request lost. This acts.

The new replicas start beside the old ones, which serve on; each must load its weights and answer a token (see
`raylign.serve.replica`) before it gets a request; then the old ones finish what they have. Where a new one does not
start, the old application is put back, and nothing was ever taken from the old replicas.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import serve

from raylign import interrupt
from raylign.errors import ConfigError, InputError, ModelError, PlanError
from raylign.preflight.places import check_model
from raylign.room import cluster_room
from raylign.serve.catalogue import Catalogue
from raylign.serve.endpoint import START_SECONDS, root_logger_kept
from raylign.serve.look import deployment_name, has_taken_over, read_deployment, runtime_env
from raylign.serve.plan import ROUTER, replica_room
from raylign.serve.reason import startup_failure
from raylign.serve.record import Record, one_at_a_time, read_record, write_record
from raylign.serve.running import APPLICATION, serve_details, session_of
from raylign.serve.sources import content_mark, is_adapter, read_catalogue

_SECONDS_BETWEEN_LOOKS = 0.5
_ROLL_BACK_SECONDS = 120.0


@dataclass(frozen=True)
class Upgraded:
    """What happened to a served name."""

    name: str
    before: str
    after: str
    replaced: bool
    """False where these very files were served already."""
    seconds: float


def _nobody(words: str) -> None:
    """Where nobody listens."""


def upgrade(folder: Path, name: str, to: str, say: Callable[[str], None] = _nobody) -> Upgraded:
    """Serve `to` under the name from now on.

    Args:
        folder: What `raylign serve` keeps its record in: the run of its first --from, or its --out.
        to: Model folder, adapter folder, hub id or `bundled`.
        say: Told in a line what is going on.

    Raises:
        InputError: nothing is served from there, or not under this name.
        ModelError: `to` is no model, or its replica did not start; the old one serves on.
        ConfigError: a model would become an adapter or the other way round.
        PlanError: the endpoint runs no more, or the cluster has no room for both.
        RunFolderError: another upgrade is under way.
    """
    started = time.monotonic()
    with one_at_a_time(folder):
        record = read_record(folder)
        wanted = _wanted(record, name, to)
        before = record.models[name]
        if wanted.marks[name] == record.marks[name]:
            return Upgraded(name, before, wanted.models[name], False, 0.0)
        with session_of(record):
            _replace(record, wanted, name, say)
        write_record(folder, wanted)
    return Upgraded(name, before, wanted.models[name], True, time.monotonic() - started)


def _wanted(record: Record, name: str, to: str) -> Record:
    """The record as it will be."""
    if name not in record.models:
        raise InputError(f"no model {name!r} is served", f"served: {', '.join(record.models)}")
    if is_adapter(to) != is_adapter(record.models[name]):
        raise ConfigError(
            f"{name} and {to} are not of a kind: one is an adapter and the other a whole model",
            "export the adapter merged, or start `raylign serve` again",
        )
    if not is_adapter(to):
        check_model(to, f"the new {name}", record.trust_remote_code)
    models = record.models | {name: to}
    source = _source(read_catalogue(models), name)
    return replace(record, models=record.models | {name: source}, marks=record.marks | {name: content_mark(source)})


def _source(catalogue: Catalogue, name: str) -> str:
    folders = {adapter.name: adapter.folder for adapter in catalogue.adapters}
    return folders.get(name) or catalogue.models[name]


def _replace(record: Record, wanted: Record, name: str, say: Callable[[str], None]) -> None:
    """Deploy the wanted application; on failure, and on Ctrl-C, the recorded one again."""
    catalogue = read_catalogue(wanted.models)
    model = next((adapter.model for adapter in catalogue.adapters if adapter.name == name), name)
    deployment = deployment_name(model)
    environment = runtime_env(serve_details(), APPLICATION, ROUTER)
    _wake(record, deployment, environment, say)
    _check_room(record)
    before = _look(deployment).running
    say(f"starting {wanted.models[name]} beside {record.models[name]}, which serves on")
    awake = _awake(wanted)
    try:
        _deploy(awake, environment)
        failure = _wait(deployment, before, START_SECONDS)
    except BaseException:
        _roll_back(record, deployment, environment, say)
        raise
    if failure is not None:
        _roll_back(record, deployment, environment, say)
        message, cure = startup_failure({deployment: failure})
        raise ModelError(f"rolled back, {record.models[name]} serves on as {name}: {message}", cure)
    if awake != wanted:
        _deploy(wanted, environment)


def _wake(record: Record, deployment: str, environment: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """See that a model that may go to zero has a replica: without one, a broken checkpoint would show at a client's
    request."""
    if _awake(record) == record:
        return
    say("waking the old one, so that there is something to fall back on")
    _deploy(_awake(record), environment)
    deadline = time.monotonic() + START_SECONDS
    while not _look(deployment).running:
        interrupt.check()
        if time.monotonic() > deadline:
            raise PlanError("the old replica does not start", "look at `raylign serve status`")
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _awake(record: Record) -> Record:
    return replace(record, serve=record.serve | {"replicas_min": max(1, record.serve["replicas_min"])})


def _deploy(record: Record, environment: Mapping[str, Any]) -> None:
    with root_logger_kept():
        from raylign.serve.app import assemble

        catalogue, runtime = read_catalogue(record.models), dict(environment)
        application = assemble(
            catalogue, record.config, record.trust_remote_code, record.cores, runtime, marks=record.marks
        )
    target = serve.RunTarget(application, name=APPLICATION, route_prefix="/")
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)


def _wait(deployment: str, before: frozenset[str], seconds: float) -> str | None:
    """Wait until new replicas have taken over; what the cluster says where they cannot."""
    deadline = time.monotonic() + seconds
    while True:
        interrupt.check()
        found = _look(deployment)
        taken = has_taken_over(found, before)
        if taken:
            return None
        if taken is False:
            return found.message or "it did not start"
        if time.monotonic() > deadline:
            return f"it did not start within {seconds:.0f} s: {found.message}"
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _roll_back(record: Record, deployment: str, environment: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Describe the old application again: its replicas are still there and fit it, so nothing starts or stops but what
    was new."""
    say("the new one does not start: putting the old application back")
    _deploy(record, environment)
    deadline = time.monotonic() + _ROLL_BACK_SECONDS
    while _look(deployment).status != "HEALTHY" and time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _look(deployment: str) -> Any:
    found = read_deployment(serve_details(), APPLICATION, deployment)
    if found is None:
        raise PlanError(f"the endpoint has no deployment {deployment} any more", "start `raylign serve` again")
    return found


def _check_room(record: Record) -> None:
    cpus, gpus = replica_room(record.config)
    free = cluster_room()
    if cpus > free.get("CPU", 0.0) or gpus > free.get("GPU", 0.0):
        raise PlanError(
            f"an upgrade holds old and new replica for a while: {cpus:g} more logical CPU(s) and {gpus:g} GPU(s)",
            "raise cluster.local_cpus, or add nodes",
        )
