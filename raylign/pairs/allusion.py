"""Does a chosen answer speak of being a revision? Its reader has seen no draft, no student and no teacher. Pure.

A chosen side that says "in this corrected solution" teaches the model to talk of corrections that nobody made. The
phrases below speak of the text itself; "a corrected map" and "the original solution was diluted" speak of the world.
What the conversation or the draft says already is no allusion. Where the user asks for a revision, or the conversation
holds an earlier answer, words of revision are part of the answer. English only: so are the templates.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from raylign.records import Message

_STRONG = r"(?P<word>revised|corrected|rewritten|reworked|amended|edited|rephrased|reworded)"
_WEAK = r"(?P<word>improved|enhanced|refined|polished|updated|clarified|adjusted|fixed|better|clearer)"
_ANSWER = r"(?:answer|response|reply|solution|explanation)"
_TEXT = r"(?:answer|response|reply|solution|explanation|version|draft|revision|text|approach)"
_MORE = r"(?:,? (?:and )?\w+){0,2}?"
"""As in "corrected and feasible approach"."""
_OF_THE_WORLD = (
    r"(?! (?:was|were|had|has been|published|released|by)\b"
    rf"| of (?!(?:the|your|my) (?:\w+ )?(?:{_ANSWER}|draft|text)\b)|['’]s|\s*\(\d)"
)
"""A version that was published, or is one of something, is a thing that the text is about."""
_LINE = r"(?m:^)[^\w\n]*"

_ROLES = (
    r"\bthe (?P<word>student|teacher)['’]?s? (?:\w+ )?(?:answer|response|solution|draft|attempt|reasoning)s?\b",
    r"\b(?P<word>student) solution\b",
)
_REVISION = (
    # It announces itself: "Here is a corrected answer", "Below is the improved version".
    rf"\b(?:here is|here['’]s|here are|below is|this is|following is) (?:an? |the |my |your )?(?:\w+ly )?"
    rf"{_STRONG}{_MORE} {_TEXT}\b",
    rf"\b(?:here is|here['’]s|below is|following is) (?:an? |the |my |your )?(?:\w+ly )?"
    rf"{_WEAK}{_MORE} (?:{_ANSWER}|version|draft)\b{_OF_THE_WORLD}",
    rf"{_LINE}(?P<word>revised|corrected|rewritten|improved|edited|updated|fixed) (?:{_TEXT}|code)[^\w\n]*(?::|(?m:$))",
    # It names itself: "this revised response", "the corrected solution".
    rf"\bthis {_STRONG}{_MORE} (?:{_ANSWER}|version|draft)\b{_OF_THE_WORLD}",
    rf"\bthis {_WEAK} {_ANSWER}\b{_OF_THE_WORLD}",
    rf"\b(?:the|my) {_STRONG} {_ANSWER}\b{_OF_THE_WORLD}",
    rf"\bthe (?P<word>revised|corrected|rewritten|reworked|improved) version\b{_OF_THE_WORLD}",
    rf"\bthe (?P<word>improved|enhanced|refined|updated|clarified) (?:answer|response|reply)\b{_OF_THE_WORLD}",
    r"\bthis (?P<word>revision|rewrite|rewording) (?:is|adds|makes|keeps|improves|corrects|fixes|ensures|provides"
    r"|addresses|clarifies|maintains|removes|includes|aims)\b",
    # It says what was done: "I have rewritten the answer", "as corrected above", "Changes made:".
    r"\b(?:i|we)(?: have|['’]ve) (?:\w+ly |also |now )?(?P<word>revised|corrected|rewritten|reworked|edited|rephrased"
    r"|reworded|improved|refined|clarified|updated|polished|fixed) "
    rf"(?:(?:the|your|this|that) (?:\w+ )?(?:{_ANSWER}|text|draft|version|wording|paragraph|passage|sentences?)\b"
    rf"|my {_ANSWER}\b|(?:it|this) (?:to|so|for)\b)",
    rf"\bi (?P<word>revised|corrected|rewrote|reworked|improved|rephrased) (?:the|your|my) (?:\w+ )?{_ANSWER}\b",
    r"\bas (?P<word>corrected|rewritten)(?: (?:above|below|here)\b|(?=[.,;:)]))",
    r"\bas (?P<word>revised|edited|improved) (?:above|below|here)\b",
    rf"{_LINE}(?:key |main )?(?P<word>changes|corrections|improvements|revisions|edits)(?: i)? made"
    r"[^\w\n]*(?::|(?m:$))",
    # It looks back at the draft: "unlike the original response", "my previous answer".
    r"\b(?:the|my|your) (?P<word>original|previous|earlier) (?:answer|reply|response) (?:was|had|did|is|has|lacked"
    r"|failed|missed|omitted|contained|incorrectly|mistakenly|stated|said|gave)\b",
    r"\b(?:unlike|compared (?:to|with)|than|from|in) (?:the|my|your) (?P<word>original|previous|earlier|initial)"
    r" (?:answer|reply|response)\b",
    rf"\bmy (?P<word>original|previous|earlier|initial|last) {_ANSWER}\b",
)


@dataclass(frozen=True)
class _Phrase:
    """A way to allude, and the words of which it takes one: looking for those first spares most texts the search."""

    pattern: re.Pattern[str]
    words: frozenset[str]

    @classmethod
    def of(cls, pattern: str) -> "_Phrase":
        words = "|".join(re.findall(r"\(\?P<word>([\w|]+)\)", pattern))
        return cls(re.compile(pattern, re.IGNORECASE), frozenset(words.split("|")))


_ROLE_PHRASES, _REVISION_PHRASES = ([_Phrase.of(pattern) for pattern in patterns] for patterns in (_ROLES, _REVISION))

# Some verbs always ask for a revision; others only with a text for their object: "the correct output" asks for none.
_REQUEST = re.compile(
    r"\b(?:revis(?:e|es|ed|ing|ions?)|re-?writ(?:e|es|ing|ten)|edit(?:s|ed|ing)?|proof-?read(?:ing)?|re-?phras(?:e|ed|ing)"
    r"|re-?word(?:ed|ing)?|paraphras(?:e|ed|ing)|re-?work(?:ed|ing)?|re-?draft(?:ed|ing)?|debug(?:ged|ging)?"
    r"|mistakes?|errors?|typos?|bugs?|wrong with)\b"
    r"|\b(?:correct(?:ed|ing|ions?)?|improv(?:e|ed|ing|ements?)|fix(?:ed|ing)?|refin(?:e|ed|ing)|polish(?:ed|ing)?"
    r"|enhanc(?:e|ed|ing)|updat(?:e|ed|ing)|better|clearer|amend(?:ed|ing)?)"
    r"(?: [\w'’-]+){0,5}? (?:texts?|essays?|paragraphs?|passages?|sentences?|code|programs?|scripts?|functions?"
    r"|quer(?:y|ies)|letters?|e-?mails?|drafts?|articles?|stor(?:y|ies)|poems?|grammar|spelling|punctuation|versions?"
    r"|writing|wording|resumes?|résumés?|cv|answers?|responses?|statements?|summar(?:y|ies)|descriptions?)\b",
    re.IGNORECASE,
)


def allusion_in(chosen: str, draft: str, conversation: Sequence[Message]) -> str:
    """The words by which `chosen` speaks of being a revision; empty where it does not.

    Args:
        chosen: The revision of `draft`.
        conversation: What both answer.
    """
    new = _words(chosen).difference(_words(draft), *(_words(message["content"]) for message in conversation))
    for phrase in [*_ROLE_PHRASES, *([] if _speaks_of_revision(conversation) else _REVISION_PHRASES)]:
        for found in phrase.pattern.finditer(chosen) if phrase.words & new else ():
            if found["word"].casefold() in new:
                return found[0].strip()
    return ""


def _speaks_of_revision(conversation: Sequence[Message]) -> bool:
    """The user asks for a revision, or there is an earlier answer that words of revision may refer to."""
    return any(message["role"] == "assistant" or _REQUEST.search(message["content"]) for message in conversation)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
