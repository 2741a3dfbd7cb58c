"""The sections that serve models, compare them, and decide which is served."""

from dataclasses import dataclass, field
from typing import Any

from raylign.config.generation import EndpointConfig
from raylign.config.metadata import OPERATION


@dataclass
class ServeConfig:
    """How checkpoints are hosted."""

    host: str = "127.0.0.1"
    """Address to bind; any but loopback needs keys."""
    port: int = field(default=8000, metadata={"low": 0, "high": 65535})
    """Port to bind; 0 takes a free one."""
    api_keys_env: str | None = None
    """Name of the environment variable with the keys that `raylign serve` asks for, by commas where there are several;
    it must be set before Ray starts. null, with no file either, asks for none."""
    api_keys_file: str | None = None
    """File with the keys, one a line, instead; it is read again when it changes. Every host of the router needs it."""
    max_request_bytes: int = field(default=4_000_000, metadata={"low": 1})
    """Largest body of a request; what is larger is answered with 413."""
    max_tokens_limit: int | None = field(default=None, metadata={"low": 1})
    """Most tokens that all answers to a request may have; more is answered with 400, and an answer without a limit ends
    there. null for no limit but the context length."""
    audit: str = field(default="off", metadata={"allowed": ("off", "sizes", "texts")})
    """Log of requests: `sizes` writes a line each with ids, sizes and times; `texts` also what was said."""
    audit_file: str | None = None
    """Where that log is written; null takes logs/audit.jsonl of the run folder."""
    replicas_min: int = field(default=1, metadata={"low": 0})
    """Fewest replicas per model; with 0 a model that nobody asks lets go of its place, and the next request waits until
    it has started again."""
    replicas_max: int = field(default=1, metadata={"low": 1})
    """Most replicas per model."""
    target_ongoing_requests: int = field(default=32, metadata={"low": 1})
    """Requests in flight per replica that the autoscaler aims at."""
    upscale_seconds: float = field(default=10.0, metadata={"low": 0.0})
    """Time that there must be more of them before a replica is added."""
    downscale_seconds: float = field(default=300.0, metadata={"low": 0.0})
    """Time that there must be fewer before a replica goes."""
    drain_seconds: float = field(default=600.0, metadata={"above": 0.0})
    """Time that a replica which is replaced or no longer needed has for its answers under way: more than any takes."""
    gpus_per_replica: int = field(default=0, metadata={"low": 0})
    """GPUs per replica; also its tensor-parallel degree. 0 runs on CPU."""
    threads_per_replica: int | None = field(default=None, metadata={"low": 1})
    """CPU only: compute threads, and logical CPUs reserved, per replica; null shares the cores and reserves one CPU."""
    max_model_len: int = field(default=1024, metadata={"low": 16})
    """Context length, prompt and answer together, in tokens."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Further vLLM engine arguments, passed through by name."""


@dataclass
class JudgeConfig(EndpointConfig):
    """Which model compares or grades answers, for the suites that need one."""

    base_url: str | None = None
    """Endpoint of the judge; null takes the endpoint that is evaluated, where `model` is one of its names."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; without a base_url that of `evaluate` counts."""
    model: str | None = None
    """The judge's name at the endpoint; null has no judge, and suites that need one are refused."""
    max_tokens: int = field(default=512, metadata={"low": 1})
    """Longest reply, in tokens."""
    temperature: float = field(default=0.0, metadata={"low": 0.0})
    """Sampling temperature; 0 is greedy."""


@dataclass
class IfevalConfig:
    """The suite `ifeval`: instructions that a program can check (arXiv 2311.07911)."""

    path: str | None = None
    """IFEval's input file, JSONL as published; required by the suite."""


@dataclass
class PairwiseConfig:
    """The suite `pairwise`: a judge compares two models' answers in both orders."""

    path: str | None = None
    """A prompt file in the forms of `prompts.path`; null takes the run's held-out prompts."""
    clustered: bool = False
    """Take prompts with one `source` for a cluster in the intervals: right where a source is a document or a person,
    and needlessly wide where it is a data set."""


@dataclass
class CustomConfig:
    """The suite `custom`: prompts of your own, each with what its answer is scored by."""

    path: str | None = None
    """A JSONL file; required by the suite, which says in its docstring what a line holds."""


@dataclass
class MixevalConfig:
    """The suites `mixeval` and `mixeval_hard`: questions of many benchmarks (arXiv 2406.06565)."""

    path: str | None = None
    """A version's folder of MixEval's data, as published; required by the suites."""
    multiple_choice: str = field(default="model", metadata={"allowed": ("model", "rule")})
    """What reads the option that an answer chooses: the judge, or rules, which read less and cost nothing."""
    free_form: str = field(default="model", metadata={"allowed": ("model", "rule")})
    """What compares an answer with the right ones: the judge, from 0 to 1, or rules on words and numbers."""


@dataclass
class EvaluateConfig(EndpointConfig):
    """How base and aligned model, or other served models, are compared."""

    base_url: str | None = None
    """Endpoint that serves both models as `base` and `aligned`; null serves them for the evaluation."""
    models: list[str] = field(default_factory=list)
    """Names at `base_url` that the suites compare, the baseline first; empty for `base` and `aligned`."""
    prompts: int | None = field(default=None, metadata={"low": 1})
    """Held-out prompts to use; null for all."""
    max_tokens: int = field(default=160, metadata={"low": 1})
    """Longest answer, in tokens."""
    temperature: float = field(default=0.0, metadata={"low": 0.0})
    """Sampling temperature; 0 is greedy."""
    actors_max: int = field(default=1, metadata=OPERATION | {"low": 1})
    """Most actors that ask."""
    bootstrap_samples: int = field(default=10_000, metadata={"low": 100})
    """Resamples behind each 95% interval."""
    suites: list[str] = field(default_factory=list)
    """Suites that run beside the comparison of answer lengths: names of `raylign.evaluate.suites.registry`, or
    `module:Class` of your own."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    ifeval: IfevalConfig = field(default_factory=IfevalConfig)
    pairwise: PairwiseConfig = field(default_factory=PairwiseConfig)
    custom: CustomConfig = field(default_factory=CustomConfig)
    mixeval: MixevalConfig = field(default_factory=MixevalConfig)


@dataclass
class PromoteConfig:
    """When the aligned model may take its baseline's place: by paired differences, aligned minus base."""

    metric: str | None = field(default=None, metadata=OPERATION)
    """The figure that decides, SUITE.METRIC of `evaluate/suites.json`, e.g. ifeval.prompt_strict; required."""
    bar: float = field(default=0.0, metadata=OPERATION)
    """What the gain's lower bound must be above, in the metric's own unit; of a metric that is better when it is lower,
    the gain is how far it fell."""
    guards: dict[str, Any] = field(default_factory=dict, metadata=OPERATION)
    """SUITE.METRIC to the worst fall that is allowed, or to a band [lowest, highest] for the difference, null for an
    open end; it must hold at the interval's bad end."""
    served: bool = field(default=False, metadata=OPERATION)
    """After a promotion, upgrade the served model; false writes the decision and leaves what is served."""
    served_from: str | None = field(default=None, metadata=OPERATION)
    """Folder that `raylign serve` keeps its record in: the run of its first --from, or its --out; null for this run."""
    alias: str = field(default="aligned", metadata=OPERATION)
    """Name of the served model that is upgraded."""
