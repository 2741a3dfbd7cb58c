"""The plan as a person reads it: aligned, in plain words, with what is not known said."""

from dataclasses import replace

import pytest
from test_plan_estimate import CAPACITY, FRAME, ROW, SPEED

from raylign.plan.estimate import make_plan
from raylign.plan.words import count, dollars, hours, table

ROWS = [replace(ROW, reply_tokens=100 + number) for number in range(16)]


def test_every_figure_stands_with_its_interval_under_one_heading() -> None:
    lines = table(make_plan(ROWS, FRAME, SPEED, replace(CAPACITY, requests_per_minute=100.0)), None)
    text = "\n".join(lines)
    assert lines[0] == "plan for 1000 prompts, by 16 of them drawn at random"
    column = lines[1].index("95%")
    assert all(" to " in line[column:] and line[column - 2 : column] == "  " for line in lines[2:12])
    for words in ("reviser requests", "prompt tokens", "reply tokens", "dollars", "GPU hours", "time of both"):
        assert words in text
    assert "limited by requests a minute (revise.requests_per_minute=100)" in text


def test_stages_that_overlap_take_as_long_as_the_longer_one() -> None:
    plan = make_plan(ROWS, FRAME, SPEED, replace(CAPACITY, requests_per_minute=1.0))
    shown = {line.split("  ")[0]: line.split() for line in table(plan, None, at_once=True)}
    assert plan.revise is not None
    assert plan.sample is not None
    assert plan.revise.seconds.value > plan.sample.seconds.value
    assert shown["time of both"][3:7] == shown["time to revise"][3:7]
    assert shown["time of both"][-2:] == ["they", "overlap"]


def test_the_budget_is_answered_in_words() -> None:
    for cap, words in ((100.0, "the run fits"), (5.0, "may exceed it"), (1.0, "will exceed it")):
        rows = [replace(ROW, reply_tokens=number) for number in (10, 50, 100, 150, 190) * 3]
        plan = make_plan(rows, FRAME, SPEED, replace(CAPACITY, max_usd=cap))
        assert any(f"revise.max_usd={cap:g}" in line and words in line for line in table(plan, cap)), words


def test_what_is_not_known_is_said() -> None:
    speed = replace(SPEED, answer_tokens_per_second=None)
    text = "\n".join(table(make_plan(ROWS, FRAME, speed, replace(CAPACITY, usd_per_prompt_token=None)), None))
    assert "no prices are configured" in text
    assert "unknown" in text
    assert "this plan was stopped on the way" in text


def test_it_says_that_hours_come_out_high_where_few_prompts_filled_the_engines() -> None:
    said = [line for line in table(make_plan(ROWS, FRAME, SPEED, CAPACITY), None) if "engines were measured" in line]
    assert len(said) == 1
    assert "with 16 prompts at once" in said[0]
    assert "the hours of engines and GPUs" in said[0]
    assert "rather too high than too low" in said[0]


def test_it_says_which_figures_follow_the_known_sizes() -> None:
    rows = [
        replace(ROW, request_bytes=400 + 10 * number, prompt_tokens=200 + 5 * number, reply_tokens=100 + number % 2)
        for number in range(16)
    ]
    text = "\n".join(table(make_plan(rows, FRAME, SPEED, CAPACITY), None))
    assert "prompt tokens: scaled by the size of the requests" in text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (count(999.6), "1,000"),
        (count(123_456), "123,000"),
        (count(42), "42"),
        (count(float("inf")), "any"),
        (dollars(0.0123), "$0.012"),
        (dollars(1234.567), "$1,234.57"),
        (dollars(0), "$0.00"),
        (hours(0.1234), "0.123"),
    ],
)
def test_figures_are_rounded_to_what_they_can_say(shown: str, expected: str) -> None:
    assert shown == expected
