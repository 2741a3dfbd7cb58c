"""Which two drafts of a prompt are compared, and in which orders. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from raylign.records import Draft

Reason = Literal["too_few_drafts", "same_drafts"]


@dataclass(frozen=True)
class NoComparison:
    """Why a prompt's drafts cannot be compared."""

    reason: Reason
    detail: str


def drafts_by_prompt(drafts: Iterable[Draft]) -> dict[str, list[Draft]]:
    """The drafts of each prompt, in order of their sample index."""
    found: dict[str, list[Draft]] = {}
    for draft in sorted(drafts, key=lambda draft: draft.sample_index):
        found.setdefault(draft.prompt_id, []).append(draft)
    return found


def choose_two(drafts: Sequence[Draft]) -> tuple[Draft, Draft] | NoComparison:
    """The two drafts of one prompt that are compared: the first that holds text, and the next that reads differently.

    The paper samples two (arXiv 2408.06266). Further samples only step in where one of the first two
    failed or repeats the other: which answers are compared must not depend on what they say.
    """
    usable = [draft for draft in drafts if draft.status == "ok" and draft.answer.strip()]
    if len(usable) < 2:
        return NoComparison("too_few_drafts", f"{len(usable)} of {len(drafts)} drafts hold text, two are needed")
    first = usable[0]
    second = next((draft for draft in usable[1:] if draft.answer.split() != first.answer.split()), None)
    if second is None:
        return NoComparison("same_drafts", f"all {len(usable)} drafts differ in white space at most")
    return first, second
