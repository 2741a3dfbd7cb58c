"""Every draft becomes one row: a pair, or a rejection that names the first thing wrong with it."""

from dataclasses import replace

import pytest
from records import make_draft

from raylign.config import PairsConfig
from raylign.pairs.build import build
from raylign.records import Draft, Pair, Rejected, Revision

MESSAGES: list = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Capital of France?"}]
DRAFT = make_draft(messages=MESSAGES, split="heldout", answer="It is London, I believe.")
REVISION = Revision(
    "r", "d", "p", MESSAGES, "heldout", "set", DRAFT.answer, False, "target", "editor", "clair@1", "whole reply",
    "It is Paris.", "London is wrong.", "stop", "ok", "", 1, 0.1, 20, 4, "",
)  # fmt: skip
PAIRS = PairsConfig()


def reason(revision: Revision | None = REVISION, pairs: PairsConfig = PAIRS, draft: Draft = DRAFT) -> str:
    row = build(draft, revision, pairs)
    return row.reason if isinstance(row, Rejected) else "pair"


def test_a_pair_has_the_revision_as_chosen_and_the_draft_as_rejected() -> None:
    pair = build(DRAFT, REVISION, PAIRS)
    assert isinstance(pair, Pair)
    assert pair.prompt == MESSAGES
    assert pair.chosen == [{"role": "assistant", "content": "It is Paris."}]
    assert pair.rejected == [{"role": "assistant", "content": "It is London, I believe."}]
    assert (pair.rationale, pair.split, pair.source) == ("London is wrong.", "heldout", "set")
    assert (pair.draft_id, pair.revision_id, pair.target_model, pair.reviser_model) == ("d", "r", "target", "editor")
    assert pair.length_ratio == pytest.approx(12 / 24)


def test_the_id_follows_the_revision() -> None:
    pair, again, other = (build(DRAFT, replace(REVISION, id=name), PAIRS) for name in ("r", "r", "s"))
    assert pair.id == again.id != other.id


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "pair"),
        ({"status": "unparsed", "revision": ""}, "unparsed"),
        ({"status": "timeout", "revision": ""}, "timeout"),
        ({"revision": " \n"}, "empty"),
        ({"finish_reason": "length"}, "cut_off"),
        ({"revision": "It is  London,\nI believe. "}, "identical"),
        ({"revision": "{corrected_student_solution} It is Paris."}, "marker_leak"),
        ({"revision": "It is Paris.<|im_end|>"}, "marker_leak"),
        ({"revision": "It is Paris.</student_solution>"}, "marker_leak"),
        ({"revision": "It is Paris, " * 6}, "repetitive"),
        ({"revision": "Here is the corrected answer: it is Paris."}, "alludes"),
        ({"revision": "I'm sorry, but I can't help with that."}, "refusal"),
        ({"revision": "Paris."}, "too_short"),
        ({"revision": " ".join(f"Paris{n}" for n in range(17))}, "too_long"),
    ],
)
def test_reasons(changes: dict[str, str], expected: str) -> None:
    assert reason(replace(REVISION, **changes)) == expected


def test_drafts_that_were_never_sent_have_reasons_too() -> None:
    assert reason(None, draft=replace(DRAFT, status="engine_error", answer="")) == "engine_error"
    assert reason(None, draft=replace(DRAFT, answer="  ")) == "empty_draft"
    assert reason(None) == "not_revised"


def test_the_first_configured_filter_names_the_reason() -> None:
    both = replace(REVISION, revision="", finish_reason="length")
    assert reason(both, PairsConfig(filters=["cut_off", "empty"])) == "cut_off"
    assert reason(both, PairsConfig(filters=["empty", "cut_off"])) == "empty"
    assert reason(replace(REVISION, revision="Paris."), PairsConfig(filters=[])) == "pair"


def test_bounds_are_configuration() -> None:
    cut = replace(REVISION, answer_cut_off=True)
    assert reason(cut) == "pair"
    assert reason(cut, PairsConfig(drop_cut_drafts=True)) == "cut_off"
    assert reason(REVISION, PairsConfig(max_length_ratio=0.4)) == "too_long"
    assert reason(REVISION, PairsConfig(min_chosen_characters=13)) == "too_short"


@pytest.mark.parametrize(
    ("metric", "low", "value", "high"),
    [
        # {it, is, paris} and {it, is, london, i, believe}: 2 of 6.
        ("jaccard", 0.33, "0.3333", 0.34),
        # "It is Paris." and "It is London, I believe.": 16 edits, and 24 characters in the longer one.
        ("levenshtein", 0.66, "0.6667", 0.67),
        # It, is
        ("shared_prefix", 2, "2", 2),
    ],
)
def test_contrast_is_bound_on_both_sides_and_each_metric_is_a_reason_of_its_own(
    metric: str, low: float, value: str, high: float
) -> None:
    def built(**bounds: float) -> Pair | Rejected:
        return build(DRAFT, REVISION, PairsConfig(**bounds))  # type: ignore[arg-type]

    step = 1 if metric == "shared_prefix" else 0.01
    assert isinstance(built(**{f"min_{metric}": low, f"max_{metric}": high}), Pair)
    for bounds in ({f"min_{metric}": low + step}, {f"max_{metric}": high - step}):
        row = built(**bounds)
        assert isinstance(row, Rejected), bounds
        assert row.reason == metric
        assert f" {value}, at " in row.detail


def test_length_is_bound_on_both_sides() -> None:
    """The revision has 12 characters, the draft 24."""
    assert reason(REVISION, PairsConfig(min_length_ratio=0.5)) == "pair"
    assert reason(REVISION, PairsConfig(min_length_ratio=0.51)) == "too_short"
    assert reason(REVISION, PairsConfig(max_length_ratio=0.5)) == "pair"
    assert reason(REVISION, PairsConfig(max_length_ratio=0.49)) == "too_long"


def test_a_bound_of_a_filter_that_does_not_run_changes_nothing() -> None:
    bounds = {"min_length_ratio": 0.9, "max_length_ratio": 0.95, "min_jaccard": 0.9, "near_duplicate_threshold": 0.01}
    assert reason(REVISION, PairsConfig(filters=["empty"], **bounds)) == "pair"  # type: ignore[arg-type]


def test_a_refusal_is_no_objection_where_the_draft_declines_too() -> None:
    declined = "I'm sorry, but I can't help with that."
    assert reason(replace(REVISION, revision="I cannot assist with this request.", answer=declined)) == "pair"
    assert reason(replace(REVISION, answer=declined)) == "pair"


ENGLISH = "The old bridge was built by the town in the spring of the year after the war, and people still use it today."
FRENCH = (
    "Le vieux pont a été construit par la ville au printemps qui a suivi la guerre, et on s'en sert encore aujourd'hui."
)
LANGUAGE = PairsConfig(filters=["language_change"])


@pytest.mark.parametrize(
    ("draft", "revision", "prompt", "expected"),
    [
        (ENGLISH, FRENCH, "Tell me about the bridge.", "language_change"),
        (FRENCH, ENGLISH, "Tell me about the bridge.", "language_change"),
        (ENGLISH, ENGLISH.replace("old", "stone"), "Tell me about the bridge.", "pair"),
        (ENGLISH, FRENCH, "Tell me about the bridge in French.", "pair"),
        (ENGLISH, FRENCH, FRENCH.replace("Le vieux pont", "Pourquoi le pont"), "pair"),
        (ENGLISH, "Le vieux pont est beau.", "Tell me about the bridge.", "pair"),
        (ENGLISH, "```\n" + "x = compter(le_pont, les_gens)\n" * 9 + "```", "Write code.", "pair"),
        (ENGLISH, "12 + 30 = 42; 42 * 2 = 84; " * 9, "Count.", "pair"),
    ],
)  # fmt: skip
def test_a_change_of_language_is_seen_where_it_is_clear(draft: str, revision: str, prompt: str, expected: str) -> None:
    messages: list = [{"role": "user", "content": prompt}]
    row = replace(REVISION, answer=draft, revision=revision, messages=messages)
    assert [reason(row, LANGUAGE) for _ in range(3)] == [expected] * 3


@pytest.mark.parametrize(
    ("changes", "filters", "seen"),
    [
        ({"revision": "It is Paris, as corrected above."}, ["alludes"], "'as corrected above'"),
        ({"revision": "I can't help with that."}, ["refusal"], "can't help"),
        ({"revision": FRENCH, "answer": ENGLISH}, ["language_change"], "'en' and the chosen one in 'fr'"),
        ({"revision": "Paris"}, ["too_short"], "5 characters"),
    ],
)
def test_a_rejection_says_what_was_seen(changes: dict[str, str], filters: list[str], seen: str) -> None:
    row = build(DRAFT, replace(REVISION, **changes), PairsConfig(filters=filters))
    assert isinstance(row, Rejected)
    assert seen in row.detail


def test_a_rejection_keeps_what_is_needed_to_see_why() -> None:
    row = build(DRAFT, replace(REVISION, status="unparsed", detail="no identifier", revision=""), PAIRS)
    assert isinstance(row, Rejected)
    assert (row.detail, row.draft, row.reply, row.prompt) == ("no identifier", DRAFT.answer, "whole reply", MESSAGES)
    assert (row.split, row.draft_id, row.revision_id) == ("heldout", "d", "r")
