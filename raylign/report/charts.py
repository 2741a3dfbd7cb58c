"""Small charts as inline SVG text. Pure: numbers in, markup out.

A plotting library draws for one background; these take their colours from the page's own style sheet
(classes `series-1`, `series-2`, `grid`, `axis`), so one page serves light and dark, and a chart weighs 3 kB.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 440, 244
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 28, 42
_MOST_DOTS = 60
"""A line of more points is drawn without a dot on each."""


@dataclass(frozen=True)
class Series:
    """One line: its name for the legend, and (x, y) points in order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Frame:
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (_HEIGHT - _TOP - _BOTTOM)


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float],
    y_range: tuple[float, float] | None = None,
) -> Markup:
    """Up to two lines over a common axis; an empty string where no line has a point.

    Args:
        title: what a screen reader says in the chart's place.
        x_label: name and unit of the horizontal axis.
        y_label: name or unit of the vertical axis.
        x_range: what the horizontal axis spans, so that charts beside each other can be compared.
        y_range: lowest and highest value of the vertical axis; by default what the points span.
    """
    points = [point for one in series for point in one.points]
    if not points:
        return Markup("")
    frame = _Frame(*x_range, *(y_range or _rounded_span([y for _, y in points])))
    body = _axes(frame, x_label, y_label)
    for index, one in enumerate(series, start=1):
        body += _line(frame, one, index)
    return _svg(title, body)


def histogram(
    values: Sequence[float], *, title: str, x_label: str, y_label: str, low: float, high: float, bins: int = 20
) -> Markup:
    """How many values fall into each of `bins` equal steps from `low` to `high`; outliers count in the end bins."""
    if not values:
        return Markup("")
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    top = ticks(0, max(float(counts.max()), 1.0))[-1]
    frame = _Frame(low, high, 0.0, top)
    body = _axes(frame, x_label, y_label)
    for count, start, end in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        left, width = frame.x(start) + 1, frame.x(end) - frame.x(start) - 2
        body += Markup(
            '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{} to {}: {}</title></rect>'
        ).format(left, frame.y(count), width, frame.y(0) - frame.y(count), _number(start), _number(end), count)
    return _svg(title, body)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values that cover `low` to `high`, about `about` steps apart by 1, 2, 2.5 or 5 times a power of ten."""
    if high <= low:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _rounded_span(values: Sequence[float]) -> tuple[float, float]:
    found = ticks(min(values), max(values))
    return found[0], found[-1]


def _axes(frame: _Frame, x_label: str, y_label: str) -> Markup:
    body = Markup("")
    for value in ticks(frame.y_low, frame.y_high):
        y = frame.y(value)
        body += Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            _LEFT, _WIDTH - _RIGHT, y, y
        )
        body += Markup('<text text-anchor="end" x="{}" y="{:.1f}">{}</text>').format(_LEFT - 8, y + 4, _number(value))
    bottom = _HEIGHT - _BOTTOM
    for value in ticks(frame.x_low, frame.x_high, about=5):
        if frame.x_low <= value <= frame.x_high:
            body += Markup('<text text-anchor="middle" x="{:.1f}" y="{}">{}</text>').format(
                frame.x(value), bottom + 17, _number(value)
            )
    body += Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
        _LEFT, _WIDTH - _RIGHT, bottom, bottom
    )
    body += Markup('<text x="0" y="12">{}</text>').format(y_label)
    return body + Markup('<text text-anchor="middle" x="{}" y="{}">{}</text>').format(
        (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, x_label
    )


def _line(frame: _Frame, series: Series, index: int) -> Markup:
    path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in series.points)
    body = Markup('<polyline class="line series-{}" points="{}"/>').format(index, path)
    if len(series.points) <= _MOST_DOTS:
        for x, y in series.points:
            body += Markup(
                '<circle class="dot series-{}" cx="{:.1f}" cy="{:.1f}" r="2.5"><title>{} at {}: {}</title></circle>'
            ).format(index, frame.x(x), frame.y(y), series.name, _number(x), _number(y))
    return body


def _svg(title: str, body: Markup) -> Markup:
    return (
        Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, _HEIGHT, escape(title))
        + body
        + Markup("</svg>")
    )


def _number(value: float) -> str:
    """A short number with a true minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−") if value else "0"
