"""Checks of what comes first, last or twice: `combination` and `startend`. Pure."""

_DIVIDER = "******"


def repeat_prompt(response: str, *, prompt_to_repeat: str) -> bool:
    """It begins with the prompt word for word, in any case."""
    return response.strip().lower().startswith(prompt_to_repeat.strip().lower())


def two_responses(response: str) -> bool:
    """Two responses that differ, with six stars between them; a divider may also stand before or after both."""
    first, *inner = response.split(_DIVIDER)
    last = inner.pop() if inner else ""
    if not all(part.strip() for part in inner):
        return False
    found = [part.strip() for part in (first, *inner, last) if part.strip()]
    return len(found) == 2 and found[0] != found[1]


def end_checker(response: str, *, end_phrase: str) -> bool:
    """It ends with the phrase, in any case; double quotation marks around the response do not matter."""
    return response.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quotation(response: str) -> bool:
    """It stands in straight double quotation marks."""
    text = response.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'
