"""What a judge's verdicts in both orders say, counted by hand."""

import pytest

from raylign.evaluate.judging import order_agreement, outcome, summarise_verdicts


@pytest.mark.parametrize(
    ("forward", "backward", "expected"),
    [
        ("first", "second", "win"),
        ("second", "first", "loss"),
        ("tie", "tie", "tie"),
        ("first", "first", "tie"),
        ("second", "second", "tie"),
        ("first", "tie", "tie"),
        ("tie", "first", "tie"),
        ("", "second", None),
        ("first", "nonsense", None),
    ],
)
def test_a_preference_takes_both_orders(forward: str, backward: str, expected: str | None) -> None:
    assert outcome(forward, backward) == expected


def test_counts_sum_to_the_rows_and_agreement_is_over_those_judged_twice() -> None:
    """Ten rows: 4 wins, 1 loss, 2 of the first place, 1 tie, 1 half tie, 1 unread; 4 + 1 + 1 of 9 agree."""
    said = [("first", "second")] * 4 + [("second", "first")] + [("first", "first")] * 2
    said += [("tie", "tie"), ("tie", "second"), ("", "first")]
    found = summarise_verdicts({str(row): pair for row, pair in enumerate(said)})
    assert {name: found[name] for name in ("win", "tie", "loss", "not_judged")} == {
        "win": 4, "tie": 4, "loss": 1, "not_judged": 1,
    }  # fmt: skip
    assert (found["judged_twice"], found["position_bias"]) == (9, round(2 / 9, 4))
    assert found["same_place"] == {"first": 2, "second": 0}
    assert found["self_consistency"] == round(6 / 9, 4)
    assert found["self_consistency_ci95"] == pytest.approx([0.3542, 0.8794], abs=1e-3), "Wilson's interval of 6 in 9"


def test_nothing_judged_has_no_shares() -> None:
    found = order_agreement([("first", "")])
    assert (found["judged_twice"], found["position_bias"], found["self_consistency_ci95"]) == (0, None, None)
