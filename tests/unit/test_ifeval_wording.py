"""IFEval's checks of words, characters, language, letter case and length: what each accepts, loosely accepts, rejects.

Every case says whether the response follows strictly, only under the loose criterion, or not at all.
"""

import pytest

from raylign.evaluate.ifeval.checks import CHECKS
from raylign.evaluate.ifeval.suite import IfevalRow, Instruction, score

FAMILIES = ("keywords", "punctuation", "language", "change_case", "length_constraints")
GERMAN = "Der Zug nach Hamburg fährt heute leider erst um neun Uhr ab, weil die Strecke gesperrt ist."
HINDI = "यह एक छोटा सा वाक्य है जो हिन्दी में लिखा गया है और बहुत सरल है।"
LOWER = "the train to the coast leaves at nine and we will take our bicycles with us"
THREE_SENTENCES = "The sun is up. The birds sing. We walk home."

Case = tuple[dict[str, object], str, str]
CASES: dict[str, list[Case]] = {
    "keywords:existence": [
        ({"keywords": ["river", "boat"]}, "A BOAT lay on the River.", "strict"),
        ({"keywords": ["cat"]}, "They concatenate strings.", "strict"),
        ({"keywords": ["mother"]}, "My mo*ther* called.", "loose"),
        ({"keywords": ["river", "boat"]}, "A boat lay on the lake.", "no"),
        ({"keywords": ["a.b"]}, "axb", "no"),
    ],
    "keywords:forbidden_words": [
        ({"forbidden_words": ["can", "ride"]}, "Scanning the bride's candle.", "strict"),
        ({"forbidden_words": ["rock"]}, "Stones only.", "strict"),
        ({"forbidden_words": ["sure"]}, "Sure thing:\nStones only.", "loose"),
        ({"forbidden_words": ["can", "ride"]}, "We went for a Ride.", "no"),
        ({"forbidden_words": ["rock"]}, "Hard-rock.", "no"),
    ],
    "keywords:frequency": [
        ({"keyword": "war", "frequency": 2, "relation": "at least"}, "War and warmth.", "strict"),
        ({"keyword": "war", "frequency": 2, "relation": "less than"}, "War and peace.", "strict"),
        ({"keyword": "war", "frequency": 1, "relation": "less than"}, "Peace.\nNo war.", "loose"),
        ({"keyword": "war", "frequency": 2, "relation": "at least"}, "War and peace.", "no"),
        ({"keyword": "war", "frequency": 2, "relation": "less than"}, "War, war.", "no"),
    ],
    "keywords:letter_frequency": [
        ({"letter": "q", "let_frequency": 2, "let_relation": "at least"}, "Quiet quays", "strict"),
        ({"letter": "N", "let_frequency": 1, "let_relation": "less than"}, "All quiet", "strict"),
        ({"letter": "!", "let_frequency": 3, "let_relation": "at least"}, "Hi! Yes! Go!", "strict"),
        ({"letter": "u", "let_frequency": 1, "let_relation": "less than"}, "Sure:\nAll calm", "loose"),
        ({"letter": "q", "let_frequency": 3, "let_relation": "at least"}, "Quiet quays", "no"),
        ({"letter": "q", "let_frequency": 2, "let_relation": "less than"}, "Quiet quays", "no"),
    ],
    "punctuation:no_comma": [
        ({}, "One sentence; no such mark.", "strict"),
        ({}, "逗号，在这里。", "strict"),
        ({}, "Sure, here it is:\nNo such mark here.", "loose"),
        ({}, "Red, green and blue.", "no"),
        ({}, "1,000", "no"),
    ],
    "language:response_language": [
        ({"language": "de"}, GERMAN, "strict"),
        ({"language": "hi"}, HINDI, "strict"),
        ({"language": "de"}, "12345 67890", "strict"),  # nothing tells the language: counts as followed, as published
        ({"language": "de"}, f"{LOWER}, {LOWER}, {LOWER}.\n{GERMAN}", "loose"),
        ({"language": "en"}, GERMAN, "no"),
        ({"language": "hi"}, LOWER, "no"),
    ],
    "change_case:english_capital": [
        ({}, LOWER.upper(), "strict"),
        ({}, "12 TRAINS LEAVE THE STATION EVERY MORNING, AND THEY ARE ALWAYS ON TIME!", "strict"),
        ({}, f"Here you are:\n{LOWER.upper()}", "loose"),
        ({}, f"{LOWER.upper()} x", "no"),
        ({}, GERMAN.upper(), "no"),
    ],
    "change_case:english_lowercase": [
        ({}, LOWER, "strict"),
        ({}, "at 9 we leave for the coast with our bicycles!", "strict"),
        ({}, f"{LOWER}\nThat is all", "loose"),
        ({}, LOWER.capitalize(), "no"),
        ({}, GERMAN.lower(), "no"),
    ],
    "change_case:capital_word_frequency": [
        ({"capital_frequency": 2, "capital_relation": "at least"}, "NASA and the U.S. agree.", "strict"),
        ({"capital_frequency": 2, "capital_relation": "at least"}, "Yes, I know I'm late.", "strict"),  # I, I
        ({"capital_frequency": 2, "capital_relation": "less than"}, "A well-known NAsA case.", "strict"),  # A
        ({"capital_frequency": 1, "capital_relation": "less than"}, "OK:\nall calm here", "loose"),
        ({"capital_frequency": 2, "capital_relation": "at least"}, "COVID-19 was new.", "no"),
        ({"capital_frequency": 2, "capital_relation": "less than"}, "IT'S late.", "no"),  # IT and 'S, as published
    ],
    "length_constraints:number_words": [
        ({"num_words": 5, "relation": "at least"}, "The well-known man left.", "strict"),
        ({"num_words": 5, "relation": "less than"}, "Four words are here.", "strict"),
        ({"num_words": 3, "relation": "less than"}, "Sure, with pleasure:\nTwo words", "loose"),
        ({"num_words": 5, "relation": "at least"}, "Four words are here.", "no"),
        ({"num_words": 4, "relation": "less than"}, "Four words are here.", "no"),
    ],
    "length_constraints:number_sentences": [
        ({"num_sentences": 3, "relation": "at least"}, THREE_SENTENCES, "strict"),
        ({"num_sentences": 2, "relation": "less than"}, "Dr. Smith paid $3.50 at 5 p.m. for tea.", "strict"),
        ({"num_sentences": 4, "relation": "less than"}, f"Sure! Gladly!\n{THREE_SENTENCES}", "loose"),
        ({"num_sentences": 4, "relation": "at least"}, THREE_SENTENCES, "no"),
        ({"num_sentences": 3, "relation": "less than"}, THREE_SENTENCES, "no"),
    ],
    "length_constraints:number_paragraphs": [
        ({"num_paragraphs": 2}, "One.\n***\nTwo.", "strict"),
        ({"num_paragraphs": 2}, "***\nOne.\n\nStill one.\n***\nTwo.\n***", "strict"),
        ({"num_paragraphs": 2}, "Here:\n***\nOne.\n***\nTwo.", "loose"),
        ({"num_paragraphs": 2}, "One.\n\nTwo.", "no"),
        ({"num_paragraphs": 2}, "One.\n***\n***\nTwo.", "no"),
        ({"num_paragraphs": 3}, "One.\n***\nTwo.", "no"),
    ],
    "length_constraints:nth_paragraph_first_word": [
        ({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "elm"}, "Oak grows.\n\nElm's leaves fall.", "strict"),
        ({"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "Elm"}, '"elm," she said.', "strict"),
        ({"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "elm"}, "Sure:\n\nElm trees.", "loose"),
        ({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "elm"}, "Oak.\n\nThe elm.", "no"),
        ({"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "elm"}, "Oak.\n\nElm.", "no"),
        ({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "elm"}, "Oak.\n\n\n\nElm.", "no"),
    ],
}


def verdict(instruction_id: str, arguments: dict[str, object], response: str) -> str:
    outcome = score([IfevalRow(1, "p", (Instruction(instruction_id, arguments),))], {1: response}).outcomes[0]
    return "strict" if outcome.strict[0] else "loose" if outcome.loose[0] else "no"


def test_every_type_of_these_families_has_accepting_and_rejecting_cases() -> None:
    assert sorted(CASES) == [name for name in sorted(CHECKS) if name.startswith(FAMILIES)]
    for cases in CASES.values():
        assert len(cases) >= 4
        assert {expected for *_, expected in cases} >= {"strict", "loose", "no"}


@pytest.mark.parametrize(
    ("instruction_id", "arguments", "response", "expected"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
)
def test_wording_case(instruction_id: str, arguments: dict[str, object], response: str, expected: str) -> None:
    assert verdict(instruction_id, arguments, response) == expected
