"""Which names an endpoint serves: models with an engine each, adapters on such an engine; pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter, served by the engine of the model that it belongs on."""

    name: str
    folder: str
    model: str
    """Served name of that model."""
    rank: int


@dataclass(frozen=True)
class Catalogue:
    """Everything that an endpoint serves."""

    models: dict[str, str]
    """Served name to model folder or hub id."""
    adapters: tuple[Adapter, ...] = ()

    @property
    def names(self) -> list[str]:
        """Every served name, the models' first."""
        return [*self.models, *(adapter.name for adapter in self.adapters)]

    def adapters_of(self, model: str) -> tuple[Adapter, ...]:
        """The adapters that a model's engine carries."""
        return tuple(adapter for adapter in self.adapters if adapter.model == model)
