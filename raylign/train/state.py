"""What a training checkpoint keeps beside weights, optimizer and random generators; pure."""

from dataclasses import dataclass, field

from raylign.config.load import training_difference
from raylign.train.meter import Meter


@dataclass
class State:
    """What a checkpoint keeps beside weights and optimizer."""

    key: str
    """The reference key: a checkpoint of other weights or pairs is refused."""
    config: str = ""
    """The configuration as YAML: so is one that was trained with other settings. Empty where it was not kept yet."""
    losses: list[float] = field(default_factory=list)
    """Mean preference loss of each finished step: without its sft term, as `Objective.preference_loss` has it."""
    heldout: list[float] = field(default_factory=list)
    """The figure that `train.early_stop` names, at each held-out evaluation that looked at it."""
    norms: list[float] = field(default_factory=list)
    """Gradient norms of the last steps, by which `Guard` knows one that has exploded."""
    meter: Meter = field(default_factory=Meter)
    """What the steps took."""

    def __post_init__(self) -> None:
        if isinstance(self.meter, dict):  # as a checkpoint keeps it
            self.meter = Meter(**self.meter)

    def of_another_run(self, key: str, config: str) -> str:
        """By what a run with this reference key and this configuration, as YAML, is another one; empty where it is not.

        It continues "was trained …".
        """
        if self.key != key:
            return "on other pairs or from another model"
        changed = training_difference(self.config, config) if self.config else []
        return f"with other settings: {'; '.join(changed)}" if changed else ""
