"""Does a text decline to answer? One definition for a reviser's reply and for a chosen answer. Pure."""

import re

_LONGEST = 800
"""Characters. A longer text that opens like a refusal goes on to answer, or to offer something else."""

# Each part alone is innocent: "I'm sorry to hear that", "I can't wait", "I can't help but smile", "we help". Declining
# takes a preface (or none), who does not, and a word for what is done to a request, in this order from the start on.
_PREFACE = r"""(?:
    (?:(?:i['’]?m|i\ am|we['’]?re|we\ are)\ (?:\w+\ )?sorry | sorry | (?:my\ )?apologies | i\ apologi[sz]e
      | unfortunately | regrettably | i['’]?m\ afraid | i\ understand[^.\n]{0,60}
      | as\ an?\ (?:\w+\ )?(?:ai|language\ model|assistant)\b[^,.\n]{0,40}
    )(?:\ for\ [^,.\n]{0,40})?[\s,.!:;—–-]*(?:but\ |that\ |however,?\ )*
)"""
_INABILITY = r"""(?:
    (?:i|we)\ (?:\w+ly\ )?
    (?:can(?:no|['’])t | can\ not | won['’]t | will\ not | do\ not\ feel\ comfortable | don['’]t\ feel\ comfortable
      | (?:(?:must|have\ to)\ )?(?:\w+ly\ )?(?=decline\b|refuse\b))
  | (?:i|we)(?:['’]m|['’]re|\ am|\ are)\ (?:\w+ly\ )?
    (?:unable\ to | not\ able\ to | not\ allowed\ to | not\ going\ to | not\ comfortable)
)\ *(?:\w+ly\ |in\ good\ conscience,?\ )*"""
_WHAT = r"(?:you\ |with\ )*(?:that|this|these|those|such|any|your|the|an?|\w+\ (?:advice|information|content)|\w+s)\b"
_DECLINED = rf"""(?:
    help(?:ing)?\b(?!\ (?:but|it|\w*sel(?:f|ves)|\w+ing)\b)
  | assist(?:ing)?\b | comply(?:ing)?\b | fulfil(?:l|ling)?\b | condone\b | decline\b | refuse\b
  | (?:engage|engaging|participate|participating)\ in\b
  | (?:provid|shar|giv|writ|creat|generat|produc|continu)(?:e|ing)\ {_WHAT}
  | (?:answer|discuss|support|offer)(?:ing)?\ {_WHAT}
  | do(?:ing)?\ (?:that|this|so)\b
)"""
_REFUSAL = re.compile(rf"\A\W*{_PREFACE}{{0,3}}{_INABILITY}{_DECLINED}", re.IGNORECASE | re.VERBOSE)


def refusal_in(text: str) -> str:
    """The words by which a text declines to answer, from its start on; empty where it does not decline."""
    found = _REFUSAL.match(text) if len(text.strip()) <= _LONGEST else None
    return found[0].strip() if found else ""
