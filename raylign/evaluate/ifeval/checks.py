"""The 25 instruction types of IFEval by id: the check of each, and the arguments it takes. Pure."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from raylign.evaluate.ifeval import keywords, language, layout, length, placement
from raylign.evaluate.ifeval.arguments import CHARACTER, COUNT, LANGUAGE, POSITION, RELATION, TEXT, WORDS, Kind


@dataclass(frozen=True)
class Check:
    """Whether a response follows one type of instruction, and the keyword arguments of `follows`."""

    follows: Callable[..., bool]
    arguments: Mapping[str, Kind]


def _check(follows: Callable[..., bool], **arguments: Kind) -> Check:
    return Check(follows, arguments)


CHECKS: Mapping[str, Check] = {
    "change_case:capital_word_frequency": _check(
        language.capital_word_frequency, capital_frequency=COUNT, capital_relation=RELATION
    ),
    "change_case:english_capital": _check(language.english_capital),
    "change_case:english_lowercase": _check(language.english_lowercase),
    "combination:repeat_prompt": _check(placement.repeat_prompt, prompt_to_repeat=TEXT),
    "combination:two_responses": _check(placement.two_responses),
    "detectable_content:number_placeholders": _check(layout.number_placeholders, num_placeholders=COUNT),
    "detectable_content:postscript": _check(layout.postscript, postscript_marker=TEXT),
    "detectable_format:constrained_response": _check(layout.constrained_response),
    "detectable_format:json_format": _check(layout.json_format),
    "detectable_format:multiple_sections": _check(layout.multiple_sections, section_spliter=TEXT, num_sections=COUNT),
    "detectable_format:number_bullet_lists": _check(layout.number_bullet_lists, num_bullets=COUNT),
    "detectable_format:number_highlighted_sections": _check(layout.number_highlighted_sections, num_highlights=COUNT),
    "detectable_format:title": _check(layout.title),
    "keywords:existence": _check(keywords.existence, keywords=WORDS),
    "keywords:forbidden_words": _check(keywords.forbidden_words, forbidden_words=WORDS),
    "keywords:frequency": _check(keywords.frequency, keyword=TEXT, frequency=COUNT, relation=RELATION),
    "keywords:letter_frequency": _check(
        keywords.letter_frequency, letter=CHARACTER, let_frequency=COUNT, let_relation=RELATION
    ),
    "language:response_language": _check(language.response_language, language=LANGUAGE),
    "length_constraints:nth_paragraph_first_word": _check(
        length.nth_paragraph_first_word, num_paragraphs=COUNT, nth_paragraph=POSITION, first_word=TEXT
    ),
    "length_constraints:number_paragraphs": _check(length.number_paragraphs, num_paragraphs=COUNT),
    "length_constraints:number_sentences": _check(length.number_sentences, num_sentences=COUNT, relation=RELATION),
    "length_constraints:number_words": _check(length.number_words, num_words=COUNT, relation=RELATION),
    "punctuation:no_comma": _check(keywords.no_comma),
    "startend:end_checker": _check(placement.end_checker, end_phrase=TEXT),
    "startend:quotation": _check(placement.quotation),
}


def problem_with(instruction_id: str, arguments: Mapping[str, object]) -> str:
    """What is wrong with an instruction of the input file, in words; empty if nothing is."""
    check = CHECKS.get(instruction_id)
    if check is None:
        close = difflib.get_close_matches(instruction_id, CHECKS, n=1, cutoff=0.5)
        return f"unknown instruction {instruction_id!r}" + (f" (did you mean {close[0]!r}?)" if close else "")
    takes = ", ".join(check.arguments) or "none"
    for name in [*check.arguments, *arguments]:
        if name not in check.arguments:
            return f"{instruction_id} has an argument {name!r}; it takes {takes}"
        if name not in arguments:
            return f"{instruction_id} lacks its argument {name!r}"
        if not check.arguments[name].accepts(arguments[name]):
            return f"{name} of {instruction_id} is {arguments[name]!r}, not {check.arguments[name].allowed}"
    return ""
