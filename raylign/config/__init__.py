"""The configuration of a run: typed sections, loaded, overridden and checked once, before anything starts."""

from raylign.config.load import difference, load_config, to_yaml
from raylign.config.schema import (
    ClusterConfig,
    EndpointConfig,
    EvaluateConfig,
    JudgeConfig,
    LoopConfig,
    OffpolicyConfig,
    PairsConfig,
    PromoteConfig,
    PromptsConfig,
    ReviseConfig,
    SampleConfig,
    ServeConfig,
    TrainConfig,
)

__all__ = [
    "ClusterConfig",
    "EndpointConfig",
    "EvaluateConfig",
    "JudgeConfig",
    "LoopConfig",
    "OffpolicyConfig",
    "PairsConfig",
    "PromoteConfig",
    "PromptsConfig",
    "ReviseConfig",
    "SampleConfig",
    "ServeConfig",
    "TrainConfig",
    "difference",
    "load_config",
    "to_yaml",
]
