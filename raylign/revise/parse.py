"""From a reviser's reply to the revision in it, or a typed reason why there is none. Pure.

What the endpoint says about the reply is judged here, for every template; the reply's own form by `clair` (text) and
`structured` (JSON). Where a doubt is left the reply is `unparsed`: a wrong text must never become a chosen answer.
"""

import re

from raylign.refusal import refusal_in
from raylign.revise.clair import parse_clair
from raylign.revise.doubts import is_blank, is_broken
from raylign.revise.parsed import Parsed, unparsed
from raylign.revise.reasons import Reason
from raylign.revise.structured import parse_structured

_WHOLE = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence", ""})
"""Finish reasons of a reply that its model ended itself."""
_DECLINED = frozenset({"content_filter", "refusal", "safety"})
"""Finish reasons of a reply that the provider stopped for what it says."""
_THOUGHTS = re.compile(r"\A\s*(?:<(think(?:ing)?)>.*?</\1>|\[THINK\].*?\[/THINK\])", re.DOTALL)
_THOUGHT_TAG = re.compile(r"\A\s*(?:<think(?:ing)?>|\[THINK\]|<\|)|</think(?:ing)?>|\[/THINK\]")


def parse_reply(template: str, reply: str, finish_reason: str, refusal: str = "") -> Parsed:
    """Read a reply to the template of this name (`clair`, `clair_json`, `guideline` or `direct`)."""
    text = reply_text(reply, finish_reason, refusal)
    if isinstance(text, Parsed):
        return text
    parsed = _parse_form(template, text)
    if parsed.status == Reason.OK and is_broken(parsed.revision):
        return unparsed("the answer holds control characters, or characters that could not be read")
    return parsed


def reply_text(reply: str, finish_reason: str, refusal: str = "") -> str | Parsed:
    """A whole reply's text without the thoughts before it, or why there is none.

    Args:
        finish_reason: Why the endpoint says the reply ended; `length` makes it `cut_off`, also with no text at all,
            as from a model whose thoughts took all its tokens.
        refusal: The endpoint's separate refusal message, where it gave one.
    """
    ended = finish_reason.lower()
    if ended in _DECLINED or refusal:
        return Parsed(Reason.REFUSED, detail=refusal or "stopped by the provider's content filter")
    if ended not in _WHOLE:
        return Parsed(Reason.CUT_OFF, detail=f"the reply is not whole: finish_reason {finish_reason}")
    text = _THOUGHTS.sub("", reply.replace("\r\n", "\n").replace("\r", "\n"), count=1).strip()
    if _THOUGHT_TAG.search(text):
        return unparsed("thoughts that do not open at the start, or do not end")
    if is_blank(text):
        return Parsed(Reason.EMPTY, detail="the reply holds no text")
    return text


def _parse_form(template: str, text: str) -> Parsed:
    if template in ("guideline", "direct"):
        return Parsed(Reason.OK, revision=text)
    parsed = parse_structured(text) if template == "clair_json" else parse_clair(text)
    if template == "clair_json" and parsed.status == Reason.UNPARSED and refusal_in(text):
        return Parsed(Reason.REFUSED, detail="the reply declines")
    return parsed
