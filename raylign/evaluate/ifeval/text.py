"""How a text is counted: words, sentences, words in capitals, and what `less than` and `at least` mean. Pure.

IFEval's published scorer counts sentences with NLTK's Punkt model and capital words with NLTK's word tokenizer,
whose model files are downloads; the rules here take their place and say where they differ.
"""

import re
from itertools import pairwise

RELATIONS = ("less than", "at least")

# The abbreviations of everyday English that Punkt's English model knows; after any other word a full stop ends a
# sentence. It does not know "e.g.", "i.e." and "etc.", so they are left out here: the same count is what matters.
_KNOWN_ABBREVIATIONS = """
mr mrs ms dr prof st jr sr gen sen rep reps lt col maj adm messrs co corp cos inc ltd bros cie ave ft mg yr vs v
ph.d m.b.a a.m p.m u.s u.s.a u.k u.n u.s.s.r jan feb aug sep sept oct nov dec tues wed fri ala ariz calif colo conn
fla ga ill kan ky mich minn nev okla ore pa tenn va vt wash wis n.y n.j n.c s.c d.c l.a j.b j.c j.j j.k j.p j.r r.j
"""
_ABBREVIATIONS = frozenset(_KNOWN_ABBREVIATIONS.split())

# Words that open a sentence far more often than they stand capitalised within one: after an abbreviation, an
# initial or an ellipsis, only these say that a new sentence begins.
_OPENING_WORDS = """
a according after also although among an and as at because before both but can could despite did do does during even
for he her here his how however i if in indeed instead is it its let many meanwhile moreover most my nevertheless no
nonetheless nor not now on once or our please she should since so some that the their then there therefore these they
this those though thus under until was we were what when where while who why will would yes yet you your
"""
_OPENERS = frozenset(_OPENING_WORDS.split())

_WORD = re.compile(r"\w+")
_RUN = re.compile(r"\S+")
# A run of characters up to its last . ? or !, which a closing or opening mark may follow but no letter or digit.
_TO_STOP = re.compile(r".*[.?!](?=[)\";}\]*:@'({\[!?”’»]|$)")
_CLOSING = re.compile(r"[\"')\]}”’»]+$")
_BEFORE_WORD = re.compile(r".*[)\";}\]*:@'({\[!?`&#,“‘«]")
_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*")

_BETWEEN_TOKENS = re.compile(r"[\s;@#$%&?!*\[\](){}<>\"“”„‘’«»`‒–—―]|--+|\.\.+|[,:](?!\d)")
_CONTRACTION = re.compile(r"(?<=[^'])('[smdSMD]|'ll|'LL|'re|'RE|'ve|'VE|n't|N'T)$")


def meets(count: int, relation: str, threshold: int) -> bool:
    """Whether `count` is `less than` or `at least` the threshold; "less than" leaves the threshold itself out."""
    return count < threshold if relation == "less than" else count >= threshold


def count_words(text: str) -> int:
    """Runs of letters, digits and underscores: "don't" and "well-known" are two words each, as published."""
    return len(_WORD.findall(text))


def count_sentences(text: str) -> int:
    """Sentences of an English text; a line break ends none, but the "1." of a numbered list does.

    Departs from the published scorer, which asks NLTK's Punkt model: its decision is followed (Kiss and Strunk,
    Computational Linguistics 32(4), 2006, section 4), with a short list of abbreviations and of words that open
    sentences in place of the statistics it learnt on newspapers. The two may differ after a rare abbreviation, an
    initial or an ellipsis, and between marks that stand alone.
    """
    runs = _RUN.findall(text)
    count, is_open = 0, False
    for run, following in pairwise([*runs, ""]):
        stop = _TO_STOP.match(run)
        if stop and _ends_sentence(stop.group(), following):
            count += 1
            is_open = bool(_CLOSING.sub("", run[stop.end() :]))  # "done.**": the marks open another, as in Punkt
        else:
            is_open = True
    return count + is_open


def _ends_sentence(run: str, following: str) -> bool:
    """Whether a run that ends with . ? or ! ends a sentence, given the run of characters that comes next."""
    if not run.endswith("."):
        return True
    word = _BEFORE_WORD.sub("", run[:-1]).lower()
    opens = following[:1].isupper() and following.rstrip(".,;:!?").lower() in _OPENERS
    if word.endswith("."):  # an ellipsis
        return opens
    if _NUMBER.fullmatch(word):
        return not following[:1].islower()
    is_initial = len(word) == 1 and word.isalpha()
    is_abbreviation = word in _ABBREVIATIONS or word.rpartition("-")[2] in _ABBREVIATIONS
    return opens if is_initial or is_abbreviation else True


def count_capital_words(text: str) -> int:
    """Tokens in capital letters: "NASA", "I", "COVID-19" and "U.S." count one each, "IT'S" two ("IT" and "'S").

    Departs from the published scorer, which asks NLTK's word tokenizer: CANNOT, GONNA, GOTTA, WANNA, GIMME and
    LEMME are one word here and two there.
    """
    capitals = 0
    for token in _BETWEEN_TOKENS.split(text):
        parts = _CONTRACTION.sub(r" \1", token.rstrip(".'")).split()
        capitals += sum(part.isupper() for part in parts)
    return capitals
