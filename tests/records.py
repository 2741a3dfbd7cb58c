"""Whole rows for tests and benchmarks: each column has a value, and a test names only those that it is about."""

from typing import Any

from raylign.records import Draft, Message, Pair


def user(text: str) -> list[Message]:
    """A conversation of one turn."""
    return [Message(role="user", content=text)]


def assistant(text: str) -> list[Message]:
    """An answer as a pair has it."""
    return [Message(role="assistant", content=text)]


def make_draft(**columns: Any) -> Draft:
    """A good draft: a whole answer to a short question."""
    row: dict[str, Any] = {
        "id": "d", "prompt_id": "p", "messages": user("Why?"), "split": "train", "source": "set",
        "answer": "Because so.", "model": "target", "sampling": "{}", "sample_index": 0, "prompt_tokens": 3,
        "answer_tokens": 3, "cut_off": False, "status": "ok", "detail": "",
    }  # fmt: skip
    return Draft(**row | columns)


def make_pair(chosen: str = "Since it is so.", rejected: str = "Because so.", **columns: Any) -> Pair:
    """A pair of two answers to a short question; its contrast and lineage are made up."""
    row: dict[str, Any] = {
        "id": "p", "prompt": user("Why?"), "chosen": assistant(chosen), "rejected": assistant(rejected),
        "rationale": "", "split": "train", "source": "set", "jaccard": 0.1, "levenshtein": 0.9, "length_ratio": 0.5,
        "shared_prefix": 0, "prompt_id": "", "draft_id": "", "revision_id": "", "target_model": "",
        "reviser_model": "", "template": "",
    }  # fmt: skip
    return Pair(**row | columns)
