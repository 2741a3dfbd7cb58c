"""The limiter's numbers as Ray metrics, which every node serves to Prometheus. This acts."""

from raylign.revise.limiter import Figures

_DESCRIPTIONS = {
    "sent": "Requests sent to the reviser",
    "answered": "Replies received",
    "refused_for_rate": "Requests answered 429",
    "tokens": "Prompt and reply tokens of all replies",
    "usd": "Dollars charged by replies, by the configured prices",
    "in_flight": "Requests sent and not yet answered",
    "share": "Share of the configured rate in use, lowered by refusals",
    "committed_usd": "Dollars that the budget counts, requests in flight included",
}


class FigureMetrics:
    """A gauge a figure: `raylign_revise_sent` and so on. They are of one job, so each starts at 0 with it."""

    def __init__(self) -> None:
        from ray.util.metrics import Gauge

        self.gauges = {
            name: Gauge(f"raylign_revise_{name}", description=description)
            for name, description in _DESCRIPTIONS.items()
        }

    def publish(self, figures: Figures) -> None:
        """Set all gauges."""
        for name, gauge in self.gauges.items():
            gauge.set(getattr(figures, name))
