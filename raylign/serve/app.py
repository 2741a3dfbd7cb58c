"""The Ray Serve application: several models behind one OpenAI-compatible router. This acts.

`build` is what a RayService names: `import_path: raylign.serve.app:build`. Importing this module imports vLLM.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import ray
from ray import serve
from ray.llm._internal.serve.core.configs.openai_api_models import to_model_metadata
from ray.serve.llm import LLMConfig, build_llm_deployment

from raylign import __version__
from raylign.arithmetic import engine_type
from raylign.config import ServeConfig, load_config
from raylign.cores import usable_cores
from raylign.errors import ConfigError
from raylign.serve.adapters import LocalAdapters
from raylign.serve.catalogue import Catalogue
from raylign.serve.guard import GuardSettings
from raylign.serve.ingress import make_ingress
from raylign.serve.plan import DEPLOYMENT_PREFIX, ingress_options, mark, plan_models
from raylign.serve.replica import ModelServer
from raylign.serve.sources import content_marks, read_catalogue


def build(arguments: dict[str, Any]) -> serve.Application:
    """The application of a Serve config file (`serveConfigV2`).

    Args:
        arguments: `models` maps served names to folders, hub ids or `bundled`; `serve` holds fields of the
            `serve:` section but host and port, which belong to the Serve config's `http_options`;
            `trust_remote_code` is false unless given.

    Raises:
        ConfigError: an argument is unknown, missing or wrong, or no key is asked for.
        ModelError: a named folder is no model.
    """
    unknown = sorted(arguments.keys() - {"models", "serve", "trust_remote_code"})
    if unknown:
        raise ConfigError(f"unknown argument {unknown[0]!r}", "allowed: models, serve, trust_remote_code")
    fields: dict[str, Any] = arguments.get("serve") or {}
    for key in ("host", "port"):
        if key in fields:
            raise ConfigError(f"serve.{key} is {fields[key]!r}", f"set {key} in http_options of the Serve config")
    overrides = [f"serve.{key}={json.dumps(value)}" for key, value in fields.items()]
    overrides.append(f"trust_remote_code={json.dumps(arguments.get('trust_remote_code', False))}")
    config = load_config(overrides=overrides)
    if config.serve.api_keys_env is None and config.serve.api_keys_file is None:
        raise ConfigError(
            "the endpoint asks for no key, and a Serve config file's http_options decide who reaches it",
            "set api_keys_env or api_keys_file under args.serve",
        )
    if config.serve.audit != "off" and config.serve.audit_file is None:
        raise ConfigError(f"audit is {config.serve.audit!r} and there is no run folder", "set audit_file beside it")
    models: dict[str, str] = arguments.get("models") or {}
    return assemble(read_catalogue(models), config.serve, config.trust_remote_code)


def assemble(
    catalogue: Catalogue,
    config: ServeConfig,
    trust_remote_code: bool = False,
    cores: int | None = None,
    runtime_env: dict[str, Any] | None = None,
    marks: Mapping[str, str] | None = None,
) -> serve.Application:
    """The application that serves a catalogue behind one router.

    Deploying it over one that runs replaces the replicas of what differs, and of nothing else.

    Args:
        cores: Processor cores that CPU replicas share; those of this machine unless given.
        runtime_env: Ray's; this job's unless given.
        marks: What the files of a served name look like (`content_mark`); looked up unless given.

    Raises:
        ConfigError: `serve.engine` names an argument that vLLM does not have, or gives it a wrong value.
    """
    # A replica's own environment replaces the job's, so what the job set is carried over.
    runtime_env = dict(ray.get_runtime_context().runtime_env) if runtime_env is None else runtime_env
    marks = marks or content_marks(catalogue)
    dtype = engine_type(config.gpus_per_replica)
    plans = plan_models(catalogue, config, cores or usable_cores(), dtype, trust_remote_code, runtime_env)
    try:
        models = [LLMConfig(**plan) for plan in plans]
        deployments = {model.model_id: _deployment(model) for model in models}
    except ValueError as error:  # pydantic's errors are ValueErrors too
        raise ConfigError(f"serve.engine is {config.engine}: {error}", "see vLLM's engine arguments") from error
    for plan, application in zip(plans, deployments.values(), strict=True):
        name = plan["model_loading_config"]["model_id"]
        names = [name, *(adapter.name for adapter in catalogue.adapters_of(name))]
        _set_version(application, mark(__version__, plan, [marks[one] for one in names]))
    cards = {model.model_id: to_model_metadata(model.model_id, model) for model in models}
    guard = GuardSettings.of(config)
    adapters = {adapter.name: adapter.model for adapter in catalogue.adapters}
    router = serve.deployment(make_ingress(guard), **ingress_options(config, runtime_env)).bind(
        llm_deployments=deployments, model_cards=cards, settings=guard, adapters=adapters
    )
    _set_version(router, mark(__version__, catalogue.names, asdict(guard), adapters))
    return router


def _deployment(model: LLMConfig) -> serve.Application:
    return build_llm_deployment(
        model,
        deployment_cls=ModelServer,
        name_prefix=DEPLOYMENT_PREFIX,
        bind_kwargs={"model_downloader": LocalAdapters},
    )


def _set_version(application: serve.Application, version: str) -> None:
    """Serve has no public way any more to say that a deployment is the same as before; without one, all replicas of all
    models would be replaced with each upgrade of one of them."""
    application._bound_deployment._version = version
