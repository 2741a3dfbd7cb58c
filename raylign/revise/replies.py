"""A chat completion as it was received, and how it is read out of its JSON. Pure."""

import json
from dataclasses import dataclass

from raylign.revise.failures import Failure
from raylign.revise.reasons import Reason


@dataclass(frozen=True)
class Reply:
    """A chat completion; token counts are 0 where the endpoint gave none."""

    text: str = ""
    finish_reason: str = ""
    refusal: str = ""
    """The separate refusal message of some providers."""
    prompt_tokens: int = 0
    reply_tokens: int = 0
    request_id: str = ""
    price_share: float = 1.0
    """Of the endpoint's price, what this reply was charged with; less than 1 where a batch brought it."""


def read_completion(body: str, request_id: str, price_share: float = 1.0) -> Reply | Failure:
    """The reply in a chat completion's JSON, or a `bad_response` that says what is wrong with it."""
    try:
        answer = json.loads(body)
        choice = answer["choices"][0]
        message, usage = choice["message"], answer.get("usage") or {}
        return Reply(
            text=_storable(str(message.get("content") or "")),
            finish_reason=str(choice.get("finish_reason") or ""),
            refusal=_storable(str(message.get("refusal") or "")),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            reply_tokens=int(usage.get("completion_tokens") or 0),
            request_id=request_id or str(answer.get("id") or ""),
            price_share=price_share,
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        return Failure(Reason.BAD_RESPONSE, f"no chat completion ({type(error).__name__}): {body[:100]!r}")


def _storable(text: str) -> str:
    """The text with U+FFFD for half a surrogate pair, which JSON can spell and no file or column of text can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
