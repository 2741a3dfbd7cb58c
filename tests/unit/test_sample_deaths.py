"""When engines that die are given up."""

from raylign.sample.deaths import MOST_DEATHS, Deaths


def test_engines_that_die_before_every_draft_are_given_up() -> None:
    deaths = Deaths()
    seen = [deaths.hopeless(1, restarts, 0) for restarts in range(MOST_DEATHS + 1)]
    assert seen == [False] * MOST_DEATHS + [True]


def test_deaths_with_drafts_in_between_may_be_many() -> None:
    deaths = Deaths()
    assert not any(deaths.hopeless(1, number, number // 2) for number in range(100))


def test_each_engine_of_a_pool_may_die_as_often() -> None:
    deaths = Deaths()
    deaths.hopeless(4, 0, 0)
    assert not deaths.hopeless(4, 4 * MOST_DEATHS - 1, 0)
    assert deaths.hopeless(4, 4 * MOST_DEATHS, 0)


def test_what_died_before_the_first_look_does_not_count() -> None:
    """The actors of an earlier attempt in the same session are not this one's."""
    deaths = Deaths()
    assert not deaths.hopeless(1, 50, 7)
    assert not deaths.hopeless(1, 50 + MOST_DEATHS - 1, 7)
    assert deaths.hopeless(1, 50 + MOST_DEATHS, 7)
