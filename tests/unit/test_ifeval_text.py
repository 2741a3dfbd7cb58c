"""How IFEval's checks count sentences and capital words, cut a response loosely, and tell languages."""

import langdetect
import pytest

from raylign.evaluate.ifeval.loose import loose_variants
from raylign.evaluate.ifeval.text import count_capital_words, count_sentences, count_words
from raylign.language import language_of, languages


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("No full stop", 1),
        ("One. Two. Three", 3),
        ('"Really?!" she asked. Yes.', 3),
        ("A heading\nand a line\n* a bullet", 1),  # only . ? and ! end a sentence
        ("1. Eggs\n2. Milk", 3),  # "1.", "Eggs 2." and "Milk", as NLTK's Punkt has it
        ("Mr. and Mrs. Smith met Prof. Lee at 3.15 p.m. on Jan. 5 in the U.S. capital.", 1),
        ("He lives in the U.S. She lives here.", 2),
        ("J. Smith wrote it.", 1),
        ("Wait... what happened?", 1),
        ("Wait... The door opened.", 2),
        ("Version 2.5 of example.com is out (finally.) Try it", 2),
        ("“It rains.” He left.", 2),
        ("कौन है? कोई नहीं!", 2),
    ],
)
def test_sentences_counted_by_hand(text: str, sentences: int) -> None:
    assert count_sentences(text) == sentences


@pytest.mark.parametrize(
    ("text", "words"), [("don't stop", 3), ("well-known: 3.5", 4), ("a_b", 1), ("—", 0), ("größer Ärger", 2)]
)
def test_words_counted_by_hand(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize(
    ("text", "capital_words"),
    [
        ("THE END.", 2),
        ("The End", 0),
        ("**WARNING**: [NASA] said (I quote) “NO”—TWICE.", 5),
        ("I'll go, I’ve seen it, and I'd stay.", 3),
        ("DON'T", 2),  # "DO" and "N'T"
        ("R&D at AT&T: 3,000 of 10:30", 4),  # R, D, AT, T
        ("WELL-KNOWN and/OR X1", 2),
    ],
)
def test_capital_words_counted_by_hand(text: str, capital_words: int) -> None:
    assert count_capital_words(text) == capital_words


def test_the_eight_loose_variants() -> None:
    assert loose_variants("Sure:\n*one*\n\ntwo\nBye*") == (
        "Sure:\n*one*\n\ntwo\nBye*",
        "*one*\n\ntwo\nBye*",
        "Sure:\n*one*\n\ntwo",
        "*one*\n\ntwo",
        "Sure:\none\n\ntwo\nBye",
        "one\n\ntwo\nBye",
        "Sure:\none\n\ntwo",
        "one\n\ntwo",
    )


def test_one_line_has_nothing_left_without_its_first_or_last_line() -> None:
    assert loose_variants("*one*") == ("*one*", "", "", "", "one", "", "", "")


def test_an_ambiguous_text_gets_the_same_language_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(langdetect.DetectorFactory, "seed", 7)  # what else in the process asks for
    assert len({language_of("no to me") for _ in range(20)}) == 1


def test_languages_of_the_public_prompts_are_told() -> None:
    texts = {
        "sw": "Habari za asubuhi, ninakwenda sokoni kununua matunda na mboga kwa ajili ya familia yangu.",
        "ko": "오늘은 날씨가 좋아서 공원에 산책하러 가려고 합니다.",
        "ru": "Сегодня хорошая погода, поэтому мы пойдём гулять в парк.",
        "fa": "امروز هوا خوب است و ما برای پیاده‌روی به پارک می‌رویم.",
        "ta": "இன்று வானிலை நன்றாக இருப்பதால் பூங்காவிற்கு நடக்கச் செல்கிறோம்.",
    }
    assert {language: language_of(text) for language, text in texts.items()} == {name: name for name in texts}
    assert set(texts) <= languages()
    assert language_of("https://example.com 42") is None
