"""The table of a sweep: its figures, its failed points, and its three forms."""

import csv
import io
from typing import Any

import pytest

from raylign.sweep.table import Row, as_csv, as_page, cells, lines, row

SETTINGS: dict[str, Any] = {"objective": "apo_zero", "beta": 0.1, "learning_rate": 2e-7}
DONE: dict[str, Any] = {
    "heldout": {
        "pairs": 40,
        "reward_accuracy": 0.825,
        "reward_margin": 1.5,
        "reward_chosen": 0.5,
        "reward_rejected": -1.0,
    },
    "pairs_per_second": 1.234567,
    "seconds": 12.3,
    "reference": "found",
}
GOOD = row(SETTINGS, 0.1, "point", DONE)
FAILED = Row(SETTINGS | {"beta": 3.0}, "other", status="the loss of pair <x> is not finite")


def test_likelihood_movement_is_the_reward_without_beta() -> None:
    assert (GOOD.chosen_moved, GOOD.rejected_moved) == (pytest.approx(5.0), pytest.approx(-10.0))


def test_a_person_reads_rounded_figures_below_their_headings() -> None:
    heading, good, failed = cells([GOOD, FAILED])
    assert dict(zip(heading, good, strict=True)) == {
        "objective": "apo_zero", "beta": "0.1", "learning_rate": "2e-07", "accuracy": "0.825", "margin": "1.500",
        "chosen moved": "5.00", "rejected moved": "-10.00", "pairs/s": "1.23", "seconds": "12.3",
        "reference pass": "found",
    }  # fmt: skip
    assert failed[3:-1] == ["–"] * 6
    assert failed[-1].startswith("failed: the loss of pair")
    shown = lines([GOOD, FAILED])
    assert shown[0].index("accuracy") + len("accuracy") == shown[1].index("0.825") + len("0.825")


def test_a_program_reads_unrounded_figures() -> None:
    good, failed = csv.DictReader(io.StringIO(as_csv([GOOD, FAILED])))
    assert good["pairs_per_second"] == "1.234567"
    assert (failed["beta"], failed["status"], failed["reward_margin"]) == ("3.0", FAILED.status, "")


def test_a_run_without_held_out_pairs_is_a_row_all_the_same() -> None:
    bare = row(SETTINGS, 0.1, "point", DONE | {"heldout": {"pairs": 0}})
    assert (bare.pairs, bare.reward_accuracy, bare.chosen_moved) == (0, None, None)


def test_the_page_escapes_what_it_shows_and_links_the_runs() -> None:
    page = as_page([GOOD, FAILED], "a & b")
    assert "<x>" not in page
    assert "&lt;x&gt;" in page
    assert "a &amp; b" in page
    assert 'href="point/report.html"' in page
