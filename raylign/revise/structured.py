"""A `clair` reply as a JSON object: the schema sent with the request, and how the reply is read. Pure.

The schema has the form of OpenAI's structured outputs (`response_format` of a chat completion), which vLLM and other
servers take as well. Its property names are the paper's identifiers (arXiv 2408.06266, section 3).
"""

import json
from typing import Any

from raylign.revise.doubts import doubtful_words, is_blank, is_broken
from raylign.revise.fences import inside_outer_fence
from raylign.revise.parsed import Parsed, unparsed
from raylign.revise.reasons import Reason

REASONING = "teacher_reasoning"
ANSWER = "corrected_student_solution"

RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "clair_revision",
        "strict": True,
        "schema": {
            "type": "object",
            # In this order: a model that writes from left to right reasons before it corrects.
            "properties": {REASONING: {"type": "string"}, ANSWER: {"type": "string"}},
            "required": [REASONING, ANSWER],
            "additionalProperties": False,
        },
    },
}
"""What a request asks with, under `response_format`."""

_DETAIL_CHARACTERS = 240


def parse_structured(reply: str) -> Parsed:
    """Read a whole reply: one JSON object with exactly the two properties, each once and a string.

    A code fence around the object changes nothing in it and is passed over. Any word outside the object, a further,
    missing or repeated property, or a value that is no string makes the reply `unparsed`: then it does not follow the
    schema, and nothing says which of its texts is the answer. The bounds of the texts are JSON's own, so an answer
    may hold braces, headings or an open code block.
    """
    try:
        pairs = json.loads(inside_outer_fence(reply.strip()), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return unparsed("the reply is not one JSON object with nothing around it")
    if not isinstance(pairs, _Pairs):
        return unparsed("the reply is JSON, but no object")
    names = [name for name, _ in pairs]
    if sorted(names) != sorted((REASONING, ANSWER)):
        wrong = f"the object has not exactly the properties {REASONING} and {ANSWER}: {names}"
        return unparsed(wrong[:_DETAIL_CHARACTERS])
    parts = dict(pairs)
    if not all(isinstance(part, str) for part in parts.values()):
        return unparsed("a property is not a string")
    if any(is_broken(part) for part in parts.values()):
        return unparsed("a property holds control characters, or characters that could not be read")
    rationale, revision = (parts[name].replace("\r\n", "\n").strip() for name in (REASONING, ANSWER))
    if is_blank(revision):
        return Parsed(Reason.EMPTY, rationale=rationale, detail=f"{ANSWER} holds no text")
    if problem := doubtful_words(revision):
        return unparsed(problem)
    return Parsed(Reason.OK, revision, rationale)


class _Pairs(list[tuple[str, Any]]):
    """An object's properties as they stand, so that a repeated name is not lost."""
