"""The Ray Serve application: several models behind one OpenAI-compatible router. This acts.

`build` is what a RayService names: `import_path: raylign.serve.app:build`. Importing this module imports vLLM.
"""

import json
from typing import Any

import ray
from ray import serve
from ray.llm._internal.serve.core.configs.openai_api_models import to_model_metadata
from ray.serve.llm import LLMConfig, build_llm_deployment

from raylign.config import ServeConfig, load_config
from raylign.errors import ConfigError
from raylign.model import resolve_model
from raylign.serve.guard import GuardSettings
from raylign.serve.host import visible_cores
from raylign.serve.ingress import make_ingress
from raylign.serve.plan import DEPLOYMENT_PREFIX, ingress_options, plan_models
from raylign.serve.replica import ModelServer


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
    sources = {name: resolve_model(source) for name, source in models.items()}
    return assemble(sources, config.serve, GuardSettings.of(config.serve), config.trust_remote_code)


def assemble(
    models: dict[str, str], config: ServeConfig, guard: GuardSettings, trust_remote_code: bool = False
) -> serve.Application:
    """The application that serves `models` (served name to folder or hub id) behind one router.

    Raises:
        ConfigError: `serve.engine` names an argument that vLLM does not have, or gives it a wrong value.
    """
    # A replica's own environment replaces the job's, so what the job set is carried over.
    environment = ray.get_runtime_context().runtime_env.get("env_vars", {})
    plans = plan_models(models, config, visible_cores(), trust_remote_code, environment)
    try:
        configs = [LLMConfig(**plan) for plan in plans]
        deployments = {
            config.model_id: build_llm_deployment(config, deployment_cls=ModelServer, name_prefix=DEPLOYMENT_PREFIX)
            for config in configs
        }
    except ValueError as error:  # pydantic's errors are ValueErrors too
        raise ConfigError(f"serve.engine is {config.engine}: {error}", "see vLLM's engine arguments") from error
    cards = {config.model_id: to_model_metadata(config.model_id, config) for config in configs}
    router = serve.deployment(make_ingress(guard), **ingress_options(config))
    return router.bind(llm_deployments=deployments, model_cards=cards, settings=guard)
