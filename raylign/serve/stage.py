"""What `raylign serve` does: host what it was told to until it is told to stop. This acts."""

import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from raylign.arithmetic import engine_type
from raylign.config import LoopConfig, ServeConfig
from raylign.cores import usable_cores
from raylign.errors import InputError
from raylign.screen import Screen
from raylign.serve.record import Record, remove_record, write_record
from raylign.serve.sources import content_marks, read_catalogue
from raylign.session import ray_session


def serve_named(config: LoopConfig, named: Mapping[str, str], folder: Path, screen: Screen) -> None:
    """Serve models under their names until Ctrl-C.

    What third-party components print goes to `logs/serve.log` of the folder; `serve.json` there says what runs.

    Raises:
        InputError: the folder cannot be written.
        ModelError: a model is missing, or its engine does not start.
        ConfigError, PlanError, EndpointError: see `host_models`.
    """
    catalogue = read_catalogue(named)
    logs = folder / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        (logs / "serve.log").touch()
    except OSError as error:
        raise InputError(f"{logs} cannot be written: {error.strerror}", "serving keeps its logs there") from error
    from raylign.serve.endpoint import host_models  # imports Ray: only once everything named is known to be there

    screen.say(f"serve      starting {', '.join(catalogue.names)}; logs in {logs / 'serve.log'}")
    serving, marks = with_places(config.serve, logs), content_marks(catalogue)
    with Screen.quieten(logs / "serve.log") as speaking, ray_session(config.cluster, logs):
        places = catalogue.models | {adapter.name: adapter.folder for adapter in catalogue.adapters}
        with host_models(places, serving, config.trust_remote_code) as url:
            write_record(folder, _record(url, places, marks, serving, config.trust_remote_code))
            try:
                speaking.say(ready_message(url, catalogue.names, serving))
                _wait_for_interrupt()
            finally:
                remove_record(folder)
        speaking.say("serve      stopped")


def _record(
    url: str, models: dict[str, str], marks: dict[str, str], serving: ServeConfig, trust_remote_code: bool
) -> Record:
    import ray

    access = os.environ.get("RAY_AUTH_MODE")  # set by Ray where it starts a cluster of its own
    address = ray.get_runtime_context().gcs_address
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return Record(address, access, url, models, marks, asdict(serving), trust_remote_code, usable_cores(), started)


def with_places(config: ServeConfig, logs: Path) -> ServeConfig:
    """The configuration with whole paths, for the router runs in another folder and perhaps on another host; and with
    this host's type, for an upgrade from another one must not change it."""
    keys = config.api_keys_file and str(Path(config.api_keys_file).expanduser().absolute())
    audit = Path(config.audit_file).expanduser() if config.audit_file else logs / "audit.jsonl"
    engine = {"dtype": engine_type(config.gpus_per_replica)} | config.engine
    return replace(config, api_keys_file=keys, audit_file=str(audit.absolute()), engine=engine)


def ready_message(url: str, models: list[str], config: ServeConfig) -> str:
    """What a person needs to know to use the endpoint: its URL, the names it serves, and a request to paste."""
    request = f'{{"model": "{models[-1]}", "messages": [{{"role": "user", "content": "Why is the sky blue?"}}]}}'
    key = ""
    if config.api_keys_env:
        key = f' -H "Authorization: Bearer ${{{config.api_keys_env}%%,*}}"'
    elif config.api_keys_file:
        key = " -H 'Authorization: Bearer KEY'"
    return (
        f"serve      {url} serves {', '.join(models)}; Ctrl-C stops it\n"
        f"           curl {url}/chat/completions{key} -H 'Content-Type: application/json' -d '{request}'"
    )


def _wait_for_interrupt() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return  # the usual way to end serving, so no error
