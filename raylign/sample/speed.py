"""How long the engines took to start, and how fast they were then. Pure; times are of one steady clock, in seconds."""


class EngineSpeed:
    """Learns from batches as they arrive. A batch's longest generation says when its engine began with it."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.began: float | None = None
        self.last = started
        self.tokens = 0

    def add(self, now: float, tokens: int, longest_seconds: float) -> None:
        """A batch arrived."""
        began = max(self.started, now - max(0.0, longest_seconds))
        self.began = began if self.began is None else min(self.began, began)
        self.last = now
        self.tokens += tokens

    def figures(self) -> dict[str, float]:
        """`start_seconds`, and `tokens_per_second` of all engines together; nothing where nothing was generated."""
        if self.began is None or self.last <= self.began:
            return {}
        return {
            "start_seconds": round(self.began - self.started, 1),
            "tokens_per_second": round(self.tokens / (self.last - self.began), 3),
        }
