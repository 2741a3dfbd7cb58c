"""Charts: where the ink goes for given numbers, and that every text is escaped."""

import re
from xml.etree import ElementTree

import pytest

from raylign.report.charts import Series, histogram, line_chart, ticks


def test_ticks_are_round_and_cover_the_values() -> None:
    assert ticks(0.0, 1.0) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert ticks(0.0, 59.0) == [0.0, 20.0, 40.0, 60.0]
    assert ticks(-1.62, 0.31) == [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5]


@pytest.mark.parametrize("value", [0.0, 1.0, -92.4])
def test_ticks_of_a_single_value_surround_it(value: float) -> None:
    found = ticks(value, value)
    assert found[0] < value < found[-1]


def test_line_runs_from_corner_to_corner() -> None:
    drawing = line_chart(
        [Series("loss", [(0.0, 0.0), (10.0, 1.0)])],
        title="Loss",
        x_label="step",
        y_label="loss",
        x_range=(0.0, 10.0),
        y_range=(0.0, 1.0),
    )
    points = re.search(r'points="([^"]+)"', drawing)
    assert points is not None
    assert points.group(1) == "54.0,202.0 426.0,28.0"  # the plot's lower left and upper right corner, y downwards


def test_histogram_counts_every_value_and_puts_outliers_into_the_end_bins() -> None:
    drawing = histogram([0.1, 0.1, 0.9, 7.0, -3.0], title="t", x_label="x", y_label="y", low=0.0, high=1.0, bins=2)
    assert re.findall(r"<title>([^<]+)</title>", drawing) == ["0 to 0.5: 3", "0.5 to 1: 2"]


def test_no_values_draw_nothing() -> None:
    assert line_chart([Series("loss", [])], title="t", x_label="x", y_label="y", x_range=(0.0, 1.0)) == ""
    assert histogram([], title="t", x_label="x", y_label="y", low=0.0, high=1.0) == ""


def test_a_chart_is_one_well_formed_drawing_whatever_its_words() -> None:
    drawing = line_chart(
        [Series("<b>&", [(1.0, 2.0)])], title='"><script>', x_label="<x>", y_label="a & b", x_range=(0.0, 2.0)
    )
    root = ElementTree.fromstring(drawing)
    assert root.get("aria-label") == '"><script>'
    assert not root.findall(".//script")
