"""What a run was charged is added up once, whether calls or batches cost it."""

from pathlib import Path

import pytest

from raylign.revise.ledger import Ledger


def test_calls_are_kept_in_the_file_and_batches_only_counted(tmp_path: Path) -> None:
    first = Ledger(tmp_path, batches_usd=2.0)
    assert first.read() == 2.0
    first.keep(2.75)
    assert first.read() == 2.75
    later = Ledger(tmp_path, batches_usd=5.0)
    assert later.read() == pytest.approx(5.75), "further batches do not count those before them twice"
    assert Ledger(tmp_path).read() == 0.75, "what calls cost"


def test_no_file_is_written_where_calls_cost_nothing(tmp_path: Path) -> None:
    Ledger(tmp_path, batches_usd=2.0).keep(2.0)
    assert list(tmp_path.iterdir()) == []
