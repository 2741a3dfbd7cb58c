"""Which language a text is in, the same answer every time. Pure.

The published IFEval scorer asks langdetect without a seed, so a short text may get another answer on every run; here
each text is judged with the same seed, by the same detector and profiles.
"""

import re
from functools import cache
from pathlib import Path

from langdetect.detector import Detector  # type: ignore[import-untyped]
from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory  # type: ignore[import-untyped]
from langdetect.lang_detect_exception import LangDetectException  # type: ignore[import-untyped]

_SEED = 0
_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_FEWEST_LETTERS = 80
"""Below some eighty letters, names and loan words decide as much as the language does."""
_PROSE_SHARE = 0.85
"""Of prose with lists and headings, more than this is letters and white space; of code and tables, less."""
_CONFIDENT = 0.99
LANGUAGE_CODES: dict[str, str] = dict(
    re.findall(
        r"(\w+) (\w\w)\b",
        "afrikaans af, albanian sq, arabic ar, bengali bn, bulgarian bg, catalan ca, chinese zh, croatian hr, "
        "czech cs, danish da, dutch nl, english en, estonian et, farsi fa, filipino tl, finnish fi, french fr, "
        "german de, greek el, gujarati gu, hebrew he, hindi hi, hungarian hu, indonesian id, italian it, japanese ja, "
        "kannada kn, korean ko, latvian lv, lithuanian lt, macedonian mk, malayalam ml, mandarin zh, marathi mr, "
        "nepali ne, norwegian no, persian fa, polish pl, portuguese pt, punjabi pa, romanian ro, russian ru, "
        "slovak sk, slovene sl, slovenian sl, somali so, spanish es, swahili sw, swedish sv, tagalog tl, tamil ta, "
        "telugu te, thai th, turkish tr, ukrainian uk, urdu ur, vietnamese vi, welsh cy",
    )
)
"""ISO 639-1 code of each language that the detector knows, by its English names."""


def language_of(text: str) -> str | None:
    """The language's code as langdetect writes it (ISO 639-1, but `zh-cn` and `zh-tw`); None if nothing tells it."""
    try:
        return str(_detector(text).detect())
    except LangDetectException:
        return None


def clear_language_of(text: str) -> str | None:
    """The ISO 639-1 code of the language that a text's prose is clearly in.

    None where that is in doubt: fewer than eighty letters outside code and addresses, a text that is mostly digits,
    symbols or code without its marks, or a detector that gives its best guess less than 99%.
    """
    prose = " ".join(_CODE.sub(" ", text).split())
    letters = sum(character.isalpha() for character in prose)
    if letters < _FEWEST_LETTERS or letters + prose.count(" ") < _PROSE_SHARE * len(prose):
        return None
    try:
        guesses = _detector(prose).get_probabilities()
    except LangDetectException:
        return None
    # Both ways to write Chinese are one language here, and the detector shares its confidence between them.
    best = str(guesses[0].lang).partition("-")[0] if guesses else ""
    confidence = sum(guess.prob for guess in guesses if str(guess.lang).partition("-")[0] == best)
    return best if confidence >= _CONFIDENT else None


def names_language(text: str, code: str) -> bool:
    """The text names the language of this ISO 639-1 code in English, as a request to write in it would."""
    return any(LANGUAGE_CODES.get(word) == code for word in re.findall(r"\w+", text.casefold()))


def languages() -> frozenset[str]:
    """The codes that `language_of` can answer."""
    return frozenset(_profiles())


def _detector(text: str) -> Detector:
    detector = _factory().create()
    detector.append(text)
    return detector


@cache
def _profiles() -> dict[str, Path]:
    return {path.name: path for path in sorted(Path(PROFILES_DIRECTORY).iterdir()) if path.is_file()}


@cache
def _factory() -> DetectorFactory:
    """A factory of our own: the package's shared one can be seeded, or not, by anything else in the process."""
    factory = DetectorFactory()
    factory.set_seed(_SEED)
    factory.load_json_profile([path.read_text(encoding="utf-8") for path in _profiles().values()])
    return factory
