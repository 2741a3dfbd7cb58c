"""What a sampled prompt took is read off its rows; requests that were not sent anew count as if they were."""

from dataclasses import replace

import pytest
from records import make_draft, user

from raylign.config import LoopConfig
from raylign.plan.estimate import Row
from raylign.plan.measure import measure, read_speed, request_bytes
from raylign.records import Draft, Revision
from raylign.revise.rows import Call, to_revision
from raylign.revise.templates import load_template

CONFIG = LoopConfig()
TEMPLATE = load_template(CONFIG.revise)
DRAFT = make_draft(id="d1", messages=user("Why is the sky blue?"))


def revision(draft: Draft, attempts: int, seconds: float) -> Revision:
    from raylign.revise.replies import Reply

    reply = Reply("The air scatters blue light.", "stop", prompt_tokens=40, reply_tokens=7)
    return to_revision(draft, Call(reply, attempts, seconds), CONFIG.revise, TEMPLATE)


def test_a_row_has_what_its_requests_took() -> None:
    rows = measure([DRAFT], [revision(DRAFT, attempts=2, seconds=3.0)], TEMPLATE)
    assert rows == [Row(request_bytes(DRAFT.messages, TEMPLATE), 3, 2, 40, 7, 6.0)]


def test_a_draft_that_was_never_sent_took_nothing_of_the_reviser() -> None:
    failed = replace(DRAFT, status="engine_error", answer="", answer_tokens=0)
    (row,) = measure([failed], [], TEMPLATE)
    assert (row.calls, row.prompt_tokens, row.reply_tokens, row.place_seconds) == (0, 0, 0, 0)


def test_a_reply_from_the_journal_counts_as_one_that_is_sent_and_as_long_as_the_others() -> None:
    other = replace(DRAFT, id="d2")
    rows = measure([DRAFT, other], [revision(DRAFT, 0, 0.0), revision(other, 1, 5.0)], TEMPLATE)
    assert [row.calls for row in rows] == [1, 1]
    assert [row.place_seconds for row in rows] == [5.0, 5.0]


def test_the_size_of_a_request_is_known_without_its_draft() -> None:
    longer = [{"role": "user", "content": "Why is the sky blue? " + "é" * 10}]
    assert request_bytes(longer, TEMPLATE) - request_bytes(DRAFT.messages, TEMPLATE) == 21  # the last space is stripped


def rows_of(count: int) -> list[Row]:
    return [Row(100, 50, 1, 30, 20, 4.0)] * count


def test_speed_is_that_of_one_engine_and_one_replica() -> None:
    """64 prompts are two batches of 32, so two of the four engines worked. 64 × 20 tokens came in 4 s: all at once."""
    config = LoopConfig()
    config.sample.engines_max = 4
    speed = read_speed(rows_of(64), {"start_seconds": 30.0, "tokens_per_second": 100.0}, {"seconds": 60.0}, config)
    assert speed.sample_start_seconds == 30.0
    assert speed.answer_tokens_per_second == pytest.approx(50.0)
    assert speed.revise_start_seconds == pytest.approx(56.0)
    assert speed.reply_tokens_per_second == pytest.approx(64 * 20 / 4.0)


def test_more_rows_than_places_take_turns() -> None:
    """64 × 4 s through 16 places: 16 s of work, and the rest of the minute is the start."""
    config = LoopConfig()
    config.revise.max_in_flight = 16
    speed = read_speed(rows_of(64), {}, {"seconds": 60.0}, config)
    assert speed.revise_start_seconds == pytest.approx(44.0)
    assert speed.answer_tokens_per_second is None
