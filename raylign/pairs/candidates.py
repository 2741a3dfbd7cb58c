"""What every source of pairs hands over: rejected sides, and what may be chosen over each of them. Pure."""

from dataclasses import dataclass, field

from raylign.records import Draft, Pair, Rejected, Revision


@dataclass
class Candidates:
    """Each draft becomes one pair or one rejection; single answers are so already."""

    drafts: list[Draft] = field(default_factory=list)
    """The rejected sides; one that is no candidate at all says so in its status."""
    revisions: dict[str, Revision] = field(default_factory=dict)
    """By the id of its draft: the chosen side, or with a status other than `ok` why there is none."""

    singles: list[Pair | Rejected] = field(default_factory=list)
    """What rows with a single answer became: there is nothing to set against it."""

    def __len__(self) -> int:
        return len(self.drafts) + len(self.singles)

    def add(self, draft: Draft, revision: Revision) -> None:
        """Take a draft with what stands against it."""
        self.drafts.append(draft)
        self.revisions[draft.id] = revision
