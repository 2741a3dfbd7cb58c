"""What the endpoints that a configuration names may be, each and together. Pure."""

from raylign.config.generation import EndpointConfig
from raylign.config.schema import LoopConfig
from raylign.errors import ConfigError


def check_endpoints(config: LoopConfig) -> None:
    """Raise a ConfigError for an endpoint that cannot be asked as it is configured."""
    revise = config.revise
    for name, endpoint in endpoints(config):
        _check_endpoint(name, endpoint)
    if revise.base_url is not None and revise.model == "bundled":
        raise ConfigError(
            f"revise.model is 'bundled' while revise.base_url is {revise.base_url}",
            "set revise.model to a name that this endpoint serves",
        )
    if revise.mode == "batch" and revise.base_url is None:
        raise ConfigError(
            "revise.mode is 'batch' and revise.base_url is not set",
            "only a provider has a batch endpoint: set revise.base_url, or revise.mode=online",
        )


def endpoints(config: LoopConfig) -> list[tuple[str, EndpointConfig]]:
    """Each section that says how an endpoint is asked, by its name."""
    return [("revise", config.revise), ("evaluate", config.evaluate), ("evaluate.judge", config.evaluate.judge)]


def _check_endpoint(name: str, endpoint: EndpointConfig) -> None:
    url = endpoint.base_url
    if url is not None and not url.startswith(("http://", "https://")):
        raise ConfigError(f"{name}.base_url is {url!r}", "it must start with http:// or https://")
    if endpoint.max_usd is not None and None in (
        endpoint.usd_per_million_prompt_tokens,
        endpoint.usd_per_million_reply_tokens,
    ):
        raise ConfigError(
            f"{name}.max_usd is {endpoint.max_usd} and the model's prices are not known",
            f"set {name}.usd_per_million_prompt_tokens and {name}.usd_per_million_reply_tokens",
        )


def check_evaluate(config: LoopConfig) -> None:
    """Raise a ConfigError where what is evaluated, or the judge, has no endpoint."""
    evaluate = config.evaluate
    for key, names in (("evaluate.models", evaluate.models), ("evaluate.suites", evaluate.suites)):
        if len(set(names)) != len(names):
            raise ConfigError(f"{key} is {names}", "name each of them once")
    if evaluate.base_url is None and not set(evaluate.models) <= {"base", "aligned"}:
        raise ConfigError(
            f"evaluate.models is {evaluate.models} while evaluate.base_url is null",
            "without an endpoint of your own only base and aligned are served: set evaluate.base_url",
        )
    judge = evaluate.judge
    if judge.base_url is not None and judge.model is None:
        raise ConfigError(
            f"evaluate.judge.model is null while evaluate.judge.base_url is {judge.base_url}",
            "set evaluate.judge.model to a name that this endpoint serves",
        )
    if judge.base_url is None and evaluate.base_url is None and judge.model not in (None, "base", "aligned"):
        raise ConfigError(
            f"evaluate.judge.model is {judge.model!r} and neither it nor evaluate has a base_url",
            "name the judge's endpoint, or have base or aligned judge",
        )
