"""The configuration of a run: typed sections, loaded, overridden and checked once, before anything starts."""

from raylign.config.evaluation import EvaluateConfig, JudgeConfig, PromoteConfig, ServeConfig
from raylign.config.generation import (
    EndpointConfig,
    OffpolicyConfig,
    PairsConfig,
    PromptsConfig,
    ReviseConfig,
    SampleConfig,
)
from raylign.config.load import difference, load_config, to_yaml
from raylign.config.schema import ClusterConfig, LoopConfig
from raylign.config.training import TrainConfig

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
