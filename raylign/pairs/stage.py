"""The pairs stage: every draft of the run becomes a pair or a rejection, and the store says which. This acts."""

from typing import Any

from raylign.config import LoopConfig
from raylign.errors import InputError
from raylign.pairs.build import build_all
from raylign.pairs.store import PairStore
from raylign.parts import read_records
from raylign.records import Draft, Revision
from raylign.run_folder import RunFolder
from raylign.screen import Screen


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Build the run's pairs from its drafts and revisions, afresh; returns the stage's figures.

    Raises:
        InputError: the run has no drafts, or none of them became a pair.
    """
    drafts: list[Draft] = read_records(folder.path / "drafts", Draft)
    if not drafts:
        raise InputError(f"{folder.path}/drafts holds no drafts", "run the sample stage first")
    revisions: dict[str, Revision] = {
        revision.draft_id: revision for revision in read_records(folder.path / "revisions", Revision)
    }
    with screen.stage("pairs") as progress, PairStore(folder.stage("pairs")) as store:
        for done, row in enumerate(build_all(drafts, revisions, config.pairs), start=1):
            store.add(row)
            progress.update(done, len(drafts))
    figures = store.figures()
    assert figures["drafts"] == len(drafts), f"{len(drafts)} drafts became {figures['drafts']} rows"
    store.write_manifest()
    if not figures["pairs"]:
        raise _no_pairs(figures)
    return figures


def _no_pairs(figures: dict[str, Any]) -> InputError:
    reasons = ", ".join(f"{reason} {count}" for reason, count in list(figures["rejected"].items())[:3])
    return InputError(
        f"none of {figures['drafts']} drafts became a pair ({reasons})",
        "look at the rows in pairs/rejected, then mend the reviser (revise.*) or loosen the filters (pairs.*)",
    )
