"""What a configuration's values may be, field by field and against each other; pure, and run before anything starts."""

import math
import operator
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

from raylign.config.endpoints import check_endpoints, check_evaluate, endpoints
from raylign.config.generation import PairsConfig
from raylign.config.guard_bounds import guard_bounds
from raylign.config.objective import UNPAIRED, parse_objective
from raylign.config.schema import LoopConfig
from raylign.config.training import TrainConfig
from raylign.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Addresses that only programs on this machine reach."""

_BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "low": ("at least", operator.ge),
    "high": ("at most", operator.le),
    "above": ("more than", operator.gt),
    "below": ("less than", operator.lt),
}


def check(config: LoopConfig) -> None:
    """Raise a ConfigError for the first value or combination that cannot work."""
    _check_fields(config, "")
    _check_prompt_lengths(config)
    _check_pools(config)
    check_endpoints(config)
    check_evaluate(config)
    _check_pairs(config)
    _check_source(config)
    _check_train(config)
    _check_serve(config)
    guard_bounds(config.promote.guards)


def _check_fields(section: Any, prefix: str) -> None:
    for item in fields(section):
        value, key = getattr(section, item.name), prefix + item.name
        if is_dataclass(value):
            _check_fields(value, f"{key}.")
            continue
        for one in value if isinstance(value, list) else [value]:
            _check_allowed(key, one, item.metadata.get("allowed"))
            if isinstance(one, int | float) and not isinstance(one, bool):
                _check_bounds(key, one, dict(item.metadata))


def _check_allowed(key: str, value: Any, allowed: tuple[Any, ...] | None) -> None:
    if allowed is not None and value not in allowed:
        words = ("null" if choice is None else str(choice) for choice in allowed)
        raise ConfigError(f"{key} is {value!r}", f"allowed: {', '.join(words)}")


def _check_bounds(key: str, value: float, bounds: dict[str, Any]) -> None:
    if not math.isfinite(value):
        raise ConfigError(f"{key} is {value}", "it must be a finite number")
    for name, (words, holds) in _BOUNDS.items():
        if name in bounds and not holds(value, bounds[name]):
            raise ConfigError(f"{key} is {value}", f"it must be {words} {bounds[name]}")


def _check_prompt_lengths(config: LoopConfig) -> None:
    for key, answer, context_key, context in (
        ("sample.max_tokens", config.sample.max_tokens, "sample.max_model_len", config.sample.max_model_len),
        ("evaluate.max_tokens", config.evaluate.max_tokens, "serve.max_model_len", config.serve.max_model_len),
    ):
        if answer >= context:
            raise ConfigError(
                f"{key} is {answer} and {context_key} is {context}",
                "leave room for the prompt: lower the first or raise the second",
            )


def _check_pools(config: LoopConfig) -> None:
    for low_key, low, high_key, high in (
        ("sample.engines_min", config.sample.engines_min, "sample.engines_max", config.sample.engines_max),
        *(
            (f"{name}.actors_min", endpoint.actors_min, f"{name}.actors_max", endpoint.actors_max)
            for name, endpoint in endpoints(config)
        ),
        ("serve.replicas_min", config.serve.replicas_min, "serve.replicas_max", config.serve.replicas_max),
        *_pair_bounds(config.pairs),
    ):
        if high is not None and low > high:
            raise ConfigError(f"{low_key} is {low} and {high_key} is {high}", "the first must not exceed the second")


def _pair_bounds(pairs: PairsConfig) -> list[tuple[str, float, str, float | None]]:
    return [
        (f"pairs.min_{name}", getattr(pairs, f"min_{name}"), f"pairs.max_{name}", getattr(pairs, f"max_{name}"))
        for name in ("length_ratio", "jaccard", "levenshtein", "shared_prefix")
    ]


def _check_pairs(config: LoopConfig) -> None:
    if len(set(config.pairs.filters)) != len(config.pairs.filters):
        raise ConfigError(f"pairs.filters is {config.pairs.filters}", "name each filter once")
    if "near_duplicate" in config.pairs.filters[:-1]:
        raise ConfigError(
            f"pairs.filters is {config.pairs.filters}",
            "name near_duplicate last: it compares the prompts of the pairs that the other filters let through",
        )


def _check_source(config: LoopConfig) -> None:
    """What each source of pairs needs, and what of `revise` is its own.

    `revise.template` and its `reply_format` shape the requests of clair alone. The same endpoint gets the bare
    conversation from `stronger` and a comparison from `judge`, and is not asked at all by `offpolicy`.
    """
    source, revise, sample = config.pairs.source, config.revise, config.sample
    if source == "clair" and revise.template == "guideline" and not revise.guideline.strip():
        raise ConfigError(
            "revise.guideline is empty while revise.template is 'guideline'", "write the rule the reviser follows"
        )
    if revise.reply_format == "json_schema" and source in ("stronger", "judge"):
        raise ConfigError(
            f"revise.reply_format is 'json_schema' while pairs.source is {source!r}",
            "only a clair reply has that form: set revise.reply_format=text",
        )
    if source == "clair" and revise.reply_format == "json_schema" and revise.template != "clair":
        raise ConfigError(
            f"revise.reply_format is 'json_schema' while revise.template is {revise.template!r}",
            "only clair has a reply of parts: set revise.template=clair, or revise.reply_format=text",
        )
    if source == "judge" and sample.samples < 2:
        raise ConfigError(
            f"sample.samples is {sample.samples} while pairs.source is 'judge'",
            "a judge compares two drafts of a prompt: set sample.samples=2",
        )
    if sample.samples > 1 and sample.temperature == 0:
        raise ConfigError(
            f"sample.samples is {sample.samples} while sample.temperature is 0",
            "greedy drafts of a prompt are all the same: raise sample.temperature",
        )
    if source == "offpolicy" and config.offpolicy.path is None:
        raise ConfigError(
            "offpolicy.path is null while pairs.source is 'offpolicy'", "name the file with the pairs to import"
        )


def _check_objective(train: TrainConfig) -> None:
    names = {term.name for term in parse_objective(train.objective)}
    for key, neutral, users in (
        ("label_smoothing", 0.0, ("dpo",)),
        ("desirable_weight", 1.0, UNPAIRED),
        ("undesirable_weight", 1.0, UNPAIRED),
    ):
        value = getattr(train, key)
        if value != neutral and not names & set(users):
            raise ConfigError(
                f"train.{key} is {value} while train.objective is {train.objective!r}",
                f"only {' and '.join(users)} use it: leave it at {neutral:g}, or add one of them to the objective",
            )


def _check_sequence_parallel(train: TrainConfig) -> None:
    if train.workers % train.sequence_parallel:
        raise ConfigError(
            f"train.sequence_parallel is {train.sequence_parallel} with train.workers {train.workers}",
            "it must divide train.workers: so many of them share each row of tokens",
        )
    if train.sequence_parallel > 1 and train.workers_max is not None:
        raise ConfigError(
            f"train.sequence_parallel is {train.sequence_parallel} with train.workers_max {train.workers_max}",
            "a run that grows and shrinks by single workers cannot keep them in groups: leave one of the two out",
        )


def _check_train(config: LoopConfig) -> None:
    train = config.train
    _check_objective(train)
    _check_sequence_parallel(train)
    step = train.workers // train.sequence_parallel * train.micro_batch_size
    if train.batch_size % step:
        shared = "" if train.sequence_parallel == 1 else " ÷ sequence_parallel"
        raise ConfigError(
            f"train.batch_size is {train.batch_size} with train.workers {train.workers} "
            f"and train.micro_batch_size {train.micro_batch_size}",
            f"it must be a multiple of workers × micro_batch_size{shared} = {step}",
        )
    if train.workers_max is not None and not train.workers <= train.workers_max <= train.batch_size:
        raise ConfigError(
            f"train.workers_max is {train.workers_max} with train.workers {train.workers} "
            f"and train.batch_size {train.batch_size}",
            "it must not be below train.workers, nor above train.batch_size, which leaves some without a pair",
        )
    if train.attention == "flex" and train.gpus_per_worker == 0:
        raise ConfigError(
            "train.attention is flex while train.gpus_per_worker is 0",
            "FlexAttention has no backward pass on CPU: leave it at auto",
        )
    if train.offload_optimizer and train.gpus_per_worker == 0:
        raise ConfigError(
            "train.offload_optimizer is true while train.gpus_per_worker is 0",
            "on CPU the optimizer is in host memory already",
        )
    if train.offload_parameters and (train.gpus_per_worker == 0 or train.zero_stage != 3):
        raise ConfigError(
            f"train.offload_parameters is true with train.gpus_per_worker {train.gpus_per_worker} and "
            f"train.zero_stage {train.zero_stage}",
            "only ZeRO-3 on GPUs can take parameters away: set train.zero_stage=3, or leave them where they are",
        )
    _check_lora(train)
    if train.dtype == "fp32" and train.zero_stage == 3 and train.gpus_per_worker == 0 and train.workers == 1:
        raise ConfigError(
            "train.zero_stage is 3 with one fp32 CPU worker", "there is nothing to shard: use train.zero_stage=1"
        )


def _check_lora(train: TrainConfig) -> None:
    lora = train.lora
    if lora.rank is None:
        for key, value, neutral in (
            ("train.lora.quantization", lora.quantization, None),
            ("train.export", train.export, "merged"),
        ):
            if value != neutral:
                raise ConfigError(
                    f"{key} is {value!r} while train.lora.rank is null", "set train.lora.rank to train an adapter"
                )
        return
    if lora.quantization is not None and train.gpus_per_worker == 0:
        raise ConfigError(
            f"train.lora.quantization is {lora.quantization!r} while train.gpus_per_worker is 0",
            "4-bit weights need a GPU: set train.gpus_per_worker=1, or train.lora.quantization=null",
        )
    if lora.quantization is not None and (train.dtype != "bf16" or train.zero_stage == 3):
        raise ConfigError(
            f"train.lora.quantization is {lora.quantization!r} with train.dtype {train.dtype} and "
            f"train.zero_stage {train.zero_stage}",
            "4-bit weights compute in bf16 and are not sharded: set train.dtype=bf16 and train.zero_stage=1 or 2",
        )


def _check_serve(config: LoopConfig) -> None:
    serve = config.serve
    if serve.api_keys_env is not None and serve.api_keys_file is not None:
        raise ConfigError(
            f"serve.api_keys_env is {serve.api_keys_env} and serve.api_keys_file is {serve.api_keys_file}",
            "name one place of the keys",
        )
    for key in ("api_keys_env", "api_keys_file"):
        if getattr(serve, key) == "":
            raise ConfigError(f"serve.{key} is empty", "name where the keys are, or set null")
    if serve.host not in LOOPBACK and serve.api_keys_env is None and serve.api_keys_file is None:
        raise ConfigError(
            f"serve.host is {serve.host!r} and the endpoint asks for no key",
            "set serve.api_keys_env or serve.api_keys_file, or bind to 127.0.0.1",
        )
    if serve.max_tokens_limit is not None and serve.max_tokens_limit > serve.max_model_len:
        raise ConfigError(
            f"serve.max_tokens_limit is {serve.max_tokens_limit} and serve.max_model_len is {serve.max_model_len}",
            "the first must not exceed the second, which bounds prompt and answer together",
        )
