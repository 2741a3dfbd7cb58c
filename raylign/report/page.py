"""The report page: a run's record in, one self-contained HTML document out. Pure.

Every text that came from a model, a prompt or a file is escaped by the template engine; the page loads nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from raylign.pairs.sources import SOURCES
from raylign.report.charts import Series, histogram, line_chart
from raylign.report.doubts import caveats, guard_rows, verdict
from raylign.report.facts import facts, source_of
from raylign.report.format import clipped, duration, last_turn, percent, signed
from raylign.report.parts import Chart
from raylign.report.record import RunRecord
from raylign.report.suites import suite_tables
from raylign.report.words import REASONS, headline, tiles


@dataclass(frozen=True)
class FlowRow:
    """Where some of the candidates went."""

    words: str
    code: str
    count: int
    share: float
    kept: bool


@dataclass(frozen=True)
class LineSpec:
    """A training chart: which metric becomes which line."""

    heading: str
    explanation: str
    y_label: str
    lines: tuple[tuple[str, str], ...]
    """(metric name, name in the legend)."""
    y_range: tuple[float, float] | None = None


TRAINING_CHARTS = (
    LineSpec("Training loss", "Mean per pair at each logged step.", "loss", (("loss", "loss"),)),
    LineSpec(
        "Held-out reward accuracy",
        "Pairs whose chosen answer gets the higher reward.",
        "share of pairs",
        (("reward_accuracy", "accuracy"),),
        (0.0, 1.0),
    ),
    LineSpec(
        "Rewards in training",
        "β · (log-probability under policy − under reference).",
        "nats",
        (("rewards/chosen", "chosen"), ("rewards/rejected", "rejected")),
    ),
    LineSpec(
        "Held-out log-probabilities",
        "Summed over an answer’s tokens under the policy, mean.",
        "nats",
        (("logps_chosen", "chosen"), ("logps_rejected", "rejected")),
    ),
)


def render(record: RunRecord) -> str:
    """The whole page as HTML text."""
    guards = guard_rows(record.done.get("evaluate") or {})
    return _template().render(
        record=record,
        source=SOURCES[source_of(record)],
        headline=headline(record),
        tiles=tiles(record),
        guards=guards,
        suites=suite_tables(record.suites),
        verdict=verdict(guards),
        training=training_charts(record.metrics),
        flow=flow(record.done.get("pairs") or {}),
        contrast=contrast_charts(record),
        facts=facts(record),
        seconds=stage_seconds(record),
        caveats=caveats(record),
    )


def training_charts(metrics: Sequence[dict[str, Any]]) -> list[Chart]:
    """The charts that the logged metrics can fill."""
    found = []
    last_step = max((line["step"] for line in metrics if "step" in line), default=0)
    for spec in TRAINING_CHARTS:
        series = [Series(words, _points(metrics, name)) for name, words in spec.lines]
        drawing = line_chart(
            series,
            title=spec.heading,
            x_label="optimizer step",
            y_label=spec.y_label,
            x_range=(0.0, max(1.0, last_step)),
            y_range=spec.y_range,
        )
        if drawing:
            legend = tuple(words for _, words in spec.lines) if len(spec.lines) > 1 else ()
            found.append(Chart(spec.heading, spec.explanation, drawing, legend))
    return found


def _points(metrics: Sequence[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    """(step, value) in order of step; where a resumed run logged a step twice, the later line counts."""
    by_step = {
        line["step"]: line[name] for line in metrics if "step" in line and isinstance(line.get(name), int | float)
    }
    return sorted(by_step.items())


def contrast_charts(record: RunRecord) -> list[Chart]:
    """How far chosen and rejected are apart, over all pairs."""
    if not record.edit_distances:
        return []
    return [
        _pairs_chart(
            "How far the two answers are apart",
            f"Pairs by edit distance between chosen and rejected; {len(record.edit_distances)} pairs.",
            record.edit_distances,
            "Pairs by edit distance",
            "character edit distance, 0 same to 1 all different",
            1.0,
        ),
        _pairs_chart(
            "How long the chosen answer is",
            "Pairs by length ratio; the last bar holds all above 2.",
            record.length_ratios,
            "Pairs by length ratio",
            "characters of chosen over rejected, 1 same length",
            2.0,
        ),
        _pairs_chart(
            "Where the two answers first differ",
            "Pairs by shared prefix; the last bar holds all above 40.",
            record.shared_prefixes,
            "Pairs by shared prefix",
            "words and punctuation marks that both start with",
            40.0,
        ),
    ]


def _pairs_chart(
    heading: str, explanation: str, values: Sequence[float], title: str, x_label: str, high: float
) -> Chart:
    """Pairs by a measure that starts at 0; the last bar holds all from `high` on."""
    drawing = histogram(values, title=title, x_label=x_label, y_label="pairs", low=0.0, high=high)
    return Chart(heading, explanation, drawing)


def flow(pairs: dict[str, Any]) -> list[FlowRow]:
    """Where the candidates went: the pairs of both splits, then each reason for rejecting, the most frequent first."""
    rejected: dict[str, int] = pairs.get("rejected") or {}
    candidates = pairs.get("pairs", 0) + sum(rejected.values())
    if not candidates:
        return []
    kept = [
        ("pairs to train on", "train", pairs.get("train", 0)),
        ("pairs held out", "heldout", pairs.get("heldout", 0)),
    ]
    lost = [
        (REASONS.get(code, code), code, count) for code, count in sorted(rejected.items(), key=lambda item: -item[1])
    ]
    rows = [FlowRow(words, code, count, count / candidates, kept=True) for words, code, count in kept]
    return rows + [FlowRow(words, code, count, count / candidates, kept=False) for words, code, count in lost]


def stage_seconds(record: RunRecord) -> list[tuple[str, float, float]]:
    """(stage, seconds, share of the longest) of each finished stage."""
    seconds = {name: float(done["seconds"]) for name, done in record.done.items() if "seconds" in done}
    longest = max(seconds.values(), default=0.0) or 1.0
    return [(name, value, value / longest) for name, value in seconds.items()]


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("raylign.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clipped": clipped,
        "duration": duration,
        "last_turn": last_turn,
        "percent": percent,
        "signed": signed,
    }
    return environment.get_template("template.html.jinja")
