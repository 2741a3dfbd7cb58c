"""When a step's numbers say that training must not go on, and which pairs were in it; pure."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

WINDOW = 50
"""Steps whose gradient norms make the running median."""
FEWEST = 10
"""Steps before the median means enough to stop a run by."""


@dataclass(frozen=True)
class Offence:
    """What was wrong with a step, and the pairs that it trained on or that caused it."""

    step: int
    """Counted from 1."""
    reason: str
    pairs: tuple[dict[str, Any], ...]
    """`id` and `loss` of each pair, the highest loss first; a loss that is no number is spelled out."""

    def as_json(self) -> dict[str, Any]:
        """What is kept in the run folder."""
        return asdict(self)


class Guard:
    """Looks at every step of a run.

    Two rules. A loss that is not finite is the fault of its pair and found before the weights change. A gradient norm
    is known for the whole step only: not finite, or more than `jump` times its running median while it is above the
    norm at which gradients are clipped, below which no step can do harm.
    """

    def __init__(self, jump: float | None, clipped_at: float, norms: list[float]) -> None:
        """Start to look.

        Args:
            norms: gradient norms of the run's last steps, kept up to date here.
        """
        self.jump, self.clipped_at, self.norms = jump, clipped_at, norms

    def look_at_losses(self, step: int, losses: Mapping[str, float]) -> Offence | None:
        """The offence of a step whose losses, by pair id, are not all finite."""
        wrong = {id_: loss for id_, loss in losses.items() if not math.isfinite(loss)}
        if not wrong:
            return None
        return Offence(step, f"the loss of pair {next(iter(wrong))} is {next(iter(wrong.values()))}", _described(wrong))

    def look_at_gradient(self, step: int, norm: float, losses: Mapping[str, float]) -> Offence | None:
        """The offence of a step by its gradients' norm before clipping; keeps the norm of a good step."""
        if not math.isfinite(norm):
            return Offence(step, f"the gradient norm is {norm}", _described(losses))
        usual = median(self.norms) if len(self.norms) >= FEWEST else None
        if self.jump is not None and usual is not None and norm > max(self.jump * usual, self.clipped_at):
            reason = f"the gradient norm is {norm:.4g}, {self.jump:g} times its running median of {usual:.4g} exceeded"
            return Offence(step, reason, _described(losses))
        self.norms.append(norm)
        del self.norms[:-WINDOW]
        return None


def _described(losses: Mapping[str, float]) -> tuple[dict[str, Any], ...]:
    ordered = sorted(losses.items(), key=lambda item: (math.isfinite(item[1]), -item[1], item[0]))
    return tuple({"id": id_, "loss": loss if math.isfinite(loss) else str(loss)} for id_, loss in ordered)
