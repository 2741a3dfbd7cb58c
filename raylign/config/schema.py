"""A run's configuration: one section a stage; the defaults are the embedded laptop run."""

from dataclasses import dataclass, field

from raylign.config.evaluation import EvaluateConfig, PromoteConfig, ServeConfig
from raylign.config.generation import OffpolicyConfig, PairsConfig, PromptsConfig, ReviseConfig, SampleConfig
from raylign.config.metadata import OPERATION
from raylign.config.training import TrainConfig


@dataclass
class ClusterConfig:
    """Which Ray cluster does the work."""

    address: str | None = field(default=None, metadata=OPERATION)
    """Ray address; null uses RAY_ADDRESS where it is set, otherwise starts a private local cluster."""
    local_cpus: int = field(default=8, metadata=OPERATION | {"low": 1})
    """Logical CPUs of the private local cluster; they are places for actors, not cores."""


@dataclass
class LoopConfig:
    """A whole run: one section a stage."""

    model: str = "bundled"
    """The target model: `bundled` (SmolLM2-135M-Instruct), a path, or a hub id."""
    seed: int = 0
    """Seed of every random choice."""
    trust_remote_code: bool = False
    """Run Python code that a model folder brings along; off unless asked for by name."""
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    revise: ReviseConfig = field(default_factory=ReviseConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    offpolicy: OffpolicyConfig = field(default_factory=OffpolicyConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    promote: PromoteConfig = field(default_factory=PromoteConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
