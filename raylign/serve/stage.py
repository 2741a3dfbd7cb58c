"""What `raylign serve` does: host base and aligned model of a finished run until it is told to stop. This acts."""

import threading
from dataclasses import replace
from pathlib import Path

from raylign.config import LoopConfig, ServeConfig
from raylign.errors import InputError
from raylign.model import resolve_model
from raylign.screen import Screen
from raylign.session import ray_session


def serve_run(config: LoopConfig, run_path: Path, screen: Screen) -> None:
    """Serve `base` (the configured model) and `aligned` (the run's checkpoint) until Ctrl-C.

    What third-party components print goes to `logs/serve.log` of the run folder.

    Raises:
        InputError: the run has no checkpoint, or its folder cannot be written.
        ModelError: a model is missing, or its engine does not start.
        ConfigError, PlanError, EndpointError: see `host_models`.
    """
    checkpoint = run_path / "checkpoint"
    if not (checkpoint / "config.json").is_file():
        raise InputError(f"{run_path} has no trained checkpoint", "run the train stage in this folder first")
    from raylign.serve.endpoint import host_models  # imports Ray: only once the run is known to be complete

    models = {"base": resolve_model(config.model), "aligned": str(checkpoint.resolve())}
    logs = run_path / "logs"
    try:
        logs.mkdir(exist_ok=True)
        (logs / "serve.log").touch()
    except OSError as error:
        raise InputError(f"{logs} cannot be written: {error.strerror}", "serving keeps its logs there") from error
    screen.say(f"serve      starting base and aligned; logs in {logs / 'serve.log'}")
    with Screen.quieten(logs / "serve.log") as speaking, ray_session(config.cluster, logs):
        serving = with_places(config.serve, logs)
        with host_models(models, serving, config.trust_remote_code) as url:
            speaking.say(ready_message(url, list(models), serving))
            _wait_for_interrupt()
        speaking.say("serve      stopped")


def with_places(config: ServeConfig, logs: Path) -> ServeConfig:
    """The configuration with whole paths, for the router runs in another folder and perhaps on another host."""
    keys = config.api_keys_file and str(Path(config.api_keys_file).expanduser().absolute())
    audit = Path(config.audit_file).expanduser() if config.audit_file else logs / "audit.jsonl"
    return replace(config, api_keys_file=keys, audit_file=str(audit.absolute()))


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
