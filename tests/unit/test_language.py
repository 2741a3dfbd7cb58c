"""The language of a text's prose is told where it is clear, and left open everywhere else."""

import pytest

from raylign.language import LANGUAGE_CODES, clear_language_of, languages, names_language

ENGLISH = "The old bridge was built by the town in the spring after the war, and people use it on their way to work."
GERMAN = "Die alte Brücke wurde im Frühling nach dem Krieg von der Stadt gebaut, und die Leute nutzen sie noch heute."
CHINESE = "这座老桥是战后的春天由镇上的居民一起修建的，直到今天人们每天仍然走过它去上班上学。" * 3


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        (CHINESE, "zh"),
        (f"{GERMAN}\n\n```python\nfor item in the_list_of_all_things_that_there_are: print(item)\n```", "de"),
        (f"{ENGLISH} Siehe https://beispiel.example/die-alte-bruecke-im-fruehling-nach-dem-krieg", "en"),
        (f"# Bridges\n\n- {ENGLISH}\n- {ENGLISH}", "en"),
        (ENGLISH[:60], None),
        (ENGLISH + " " + GERMAN, None),
        ("for (int i = 0; i < n; i++) { total += values[i]; }\n" * 6, None),
        ("2024-01-01 | 17.5 | 18.25 | 19.0\n" * 12, None),
        ("", None),
    ],
)
def test_only_a_clear_language_is_named(text: str, language: str | None) -> None:
    assert {clear_language_of(text) for _ in range(3)} == {language}


def test_a_prompt_names_a_language_as_a_word_of_its_own() -> None:
    assert names_language("Translate this into FRENCH, please.", "fr")
    assert names_language("Write it in Mandarin.", "zh")
    assert not names_language("Translate this into French.", "de")
    assert not names_language("Polish my essay.", "pt")
    assert not names_language("Where is Frenchtown?", "fr")


def test_every_language_of_the_detector_has_a_name() -> None:
    assert set(LANGUAGE_CODES.values()) == {code.partition("-")[0] for code in languages()}
