"""Reads which option an answer chooses, by rules; where there is a doubt it is unparsed and never guessed. Pure.

In this order, the first that speaks decides:

1. The answer is nothing but an option's letter, or letter and text of the same option.
2. It states its answer: `Answer: B`, `the correct option is (B)`, `\\boxed{B}`, `**B**` on a line of its own. A last
   line that is nothing but a statement stands before what was said on the way, and a final answer before others.
3. Its first line begins with a letter and a mark that letters of a list have: `B) Because …`.
4. It is, or states, exactly one option's text; or it holds one option's text alone, without a word of denial.

Statements of several options, two letters in one statement, and a letter beyond the options leave a doubt.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from raylign.evaluate.suites.mixeval.data import LETTERS

_OPEN = r"[\s*_`\"'“‘(\[{<$]*(?:\\(?:boxed|text|textbf|mathrm|mathbf)\{[\s*]*)*[\s*_(\[]*"
_CLOSE = r"[\s*_`\"'”’)\]}>$]*"
_LETTER = rf"{_OPEN}(?P<letter>[A-Z]){_CLOSE}"
_AFTER = r"(?=$|[.,;:!?\n—–-]|\s+(?:because|since|as|for|which|that|and|or|is|\())"
_NOUN = r"(?:answer|option|choice|response|solution|selection)"
_STATED = re.compile(
    rf"(?P<final>\bfinal\s+)?(?:\b(?:correct|right|best|most likely|my|the|final)\s+)*\b{_NOUN}"
    rf"(?:\s+(?:here|to this question|to the question|choice|letter|option))*[\s*_]*"
    rf"(?:[:：=]|\bis\b[\s*_]*[:：]?|\bwould be\b|\bmust be\b|\bshould be\b|\bwill be\b)[\s*_]*"
    rf"(?:(?:the\s+)?(?:{_NOUN}|letter)\s+)?{_LETTER}{_AFTER}",
    re.IGNORECASE,
)
_CHOSEN = re.compile(
    rf"\b(?:i|i'd|i would|we|i'll|i will)\s+(?:choose|pick|select|go with|answer)\s+"
    rf"(?:(?:the\s+)?{_NOUN}\s+)?{_LETTER}{_AFTER}",
    re.IGNORECASE,
)
_REVERSED = re.compile(
    rf"{_LETTER}\s+is\s+(?:the\s+)?(?:correct|right|best)(?:\s+{_NOUN})?{_AFTER}",
)
_BOXED = re.compile(r"\\boxed\{[\s*]*(?:\\(?:text|textbf|mathrm|mathbf)\{)?[\s(]*(?P<letter>[A-Z])[\s)]*\}")
_ALONE = re.compile(rf"(?:{_NOUN}\s*[:：]?\s*)?{_LETTER}[.:,;!]?{_CLOSE}", re.IGNORECASE)
_HEAD = re.compile(r"[\s*_`\"'“(\[]*(?P<letter>[A-Z])[*_`\"'”]*(?:[)\].:]|\s+[-–—]\s)[*_]*\s*(?P<rest>.*)", re.DOTALL)
_MORE = re.compile(r"\s*(?:,|/|&|\band\b|\bor\b)+\s*(?:option\s+|answer\s+)?[*_(\[]*(?P<letter>[A-Z])\b(?![a-z'’])")
_DENIAL = re.compile(r"\b(?:not|no|none|neither|nor|never|except|incorrect|wrong|false|isn|aren|doesn|cannot|can't)\b")


def read_choice(answer: str, options: Sequence[str]) -> str | None:
    """The letter of the option that an answer chooses, or None where that cannot be told without a doubt."""
    text = unicodedata.normalize("NFKC", answer).strip()
    letters = LETTERS[: len(options)]
    if not text:
        return None
    if alone := _ALONE.fullmatch(text):
        return _known(alone["letter"], letters) if _is_letter(alone) or len(text) == 1 else None
    stated = _stated(text, letters, options)
    if stated:
        return stated.pop() if len(stated) == 1 and stated <= set(letters) else None
    if (head := _HEAD.match(text)) and not _MORE.match(text, head.end("letter")):
        return _known(head["letter"], letters) if _fits(head["rest"], head["letter"], options) else None
    return _by_text(text, options)


def _stated(text: str, letters: str, options: Sequence[str]) -> set[str]:
    """All options that the answer states to be its answer; the last word on it where it says which that is."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = _STATED.fullmatch(lines[-1].rstrip(" .*_`"))
    if last and _is_letter(last) and not _MORE.match(lines[-1], last.end("letter")):
        return {last["letter"]}
    found: list[tuple[bool, set[str]]] = []
    for pattern in (_STATED, _CHOSEN, _REVERSED, _BOXED):
        for match in pattern.finditer(text):
            if _is_letter(match) and not _denied(text, match.start()):
                more = _MORE.match(text, match.end("letter"))
                named = {match["letter"].upper()} | ({more["letter"]} if more else set())
                final = pattern is _BOXED or bool(match.groupdict().get("final"))
                found.append((final, named))
    for line in lines if len(lines) > 1 else []:
        alone = _ALONE.fullmatch(line)
        if alone and line[0] in "*_`([$\\" and _is_letter(alone):
            found.append((False, {alone["letter"]}))
    last_words = [named for final, named in found if final]
    return set().union(*(last_words or [named for _, named in found]))


def _is_letter(match: re.Match[str]) -> bool:
    """A small `a` in running text is an article, and a small `i` no option."""
    return match["letter"].isupper()


def _denied(text: str, start: int) -> bool:
    clause = re.split(r"[.;\n]", text[:start])[-1].casefold()
    return bool(_DENIAL.search(clause))


def _known(letter: str, letters: str) -> str | None:
    return letter.upper() if letter.upper() in letters else None


def _fits(rest: str, letter: str, options: Sequence[str]) -> bool:
    """Whether what follows a letter does not start with another option's text, or list further options."""
    if re.search(r"^[\s*_(\[]*[A-Z][).:\]]\s", rest, re.MULTILINE):
        return False
    if letter not in LETTERS[: len(options)]:
        return False
    own, said = plain(options[LETTERS.index(letter)]), plain(rest)
    others = [plain(option) for option in options if plain(option) != own]
    return said.startswith(own) or said not in others


def _by_text(text: str, options: Sequence[str]) -> str | None:
    plains = [plain(option) for option in options]
    said = plain(re.sub(r"(?is)^.*\banswer\b\s*(?:is|[:：])\s*", "", text))
    exact = [place for place, option in enumerate(plains) if option == said]
    if len(exact) == 1:
        return LETTERS[exact[0]]
    whole = plain(text)
    if _DENIAL.search(whole):
        return None
    held = [place for place, option in enumerate(plains) if option and f" {option} " in f" {whole} "]
    return LETTERS[held[0]] if len(held) == 1 and not _contained(plains, held) else None


def _contained(plains: Sequence[str], held: Iterable[int]) -> bool:
    """Whether an option's text is part of another one's, so that holding it says little."""
    return any(
        f" {plains[place]} " in f" {text} " for place in held for other, text in enumerate(plains) if place != other
    )


def plain(text: str) -> str:
    """Words and numbers in lower case with one space between them."""
    return " ".join(re.findall(r"[\w%$€£+−-]+(?:[.,]\d+)*", text.casefold()))
