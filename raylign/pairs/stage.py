"""The pairs stage: every candidate of the run's source becomes a pair or a rejection, each stored. This acts."""

from collections.abc import Callable
from itertools import chain
from typing import Any

from raylign.config import LoopConfig
from raylign.errors import InputError
from raylign.judge.outcome import candidates_of
from raylign.judge.work import Judging
from raylign.pairs.build import build_all
from raylign.pairs.candidates import Candidates
from raylign.pairs.offpolicy import read_offpolicy
from raylign.pairs.sources import SOURCES
from raylign.pairs.store import PairStore
from raylign.parts import read_records, written_ids
from raylign.records import Draft, Judgement, Prompt, Revision
from raylign.run_folder import RunFolder
from raylign.screen import Screen


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Build the run's pairs from what its source gave, afresh; returns the stage's figures.

    Raises:
        InputError: there are no drafts, or nothing to import, or none of the candidates became a pair.
    """
    source = config.pairs.source
    candidates = _GATHER[source](config, folder, screen)
    count = len(candidates)
    with screen.stage("pairs") as progress, PairStore(folder.stage("pairs")) as store:
        rows = build_all(candidates.drafts, candidates.revisions, config.pairs, _evaluated(config, folder))
        for done, row in enumerate(chain(rows, candidates.singles), start=1):
            store.add(row)
            progress.update(done, count)
    figures = {"source": source, **store.figures()}
    assert figures["candidates"] == count, f"{count} {SOURCES[source].candidates} became {figures['candidates']} rows"
    store.write_manifest(source=source)
    if not figures["pairs"]:
        raise _no_pairs(figures)
    return figures


def _revised(config: LoopConfig, folder: RunFolder, screen: Screen) -> Candidates:
    """Each draft against its revision, or against the stronger model's own answer."""
    revisions = read_records(folder.path / "revisions", Revision)
    return Candidates(_drafts(folder), {revision.draft_id: revision for revision in revisions})


def _judged(config: LoopConfig, folder: RunFolder, screen: Screen) -> Candidates:
    """One of each prompt's drafts against the one that the judge prefers."""
    judgements = {judgement.id: judgement for judgement in read_records(folder.path / "judgements", Judgement)}
    return candidates_of(_drafts(folder), judgements, Judging(config.revise))


def _imported(config: LoopConfig, folder: RunFolder, screen: Screen) -> Candidates:
    """The rows of an existing data set."""
    candidates, bad = read_offpolicy(config, written_ids(folder.path / "prompts", "id"))
    if bad:
        rows = len(candidates)
        screen.say(f"pairs      {len(bad)} of {rows} rows cannot be read, first {bad[0]}; all in pairs/rejected")
    return candidates


_GATHER: dict[str, Callable[[LoopConfig, RunFolder, Screen], Candidates]] = {
    "clair": _revised,
    "stronger": _revised,
    "judge": _judged,
    "offpolicy": _imported,
}


def _drafts(folder: RunFolder) -> list[Draft]:
    drafts: list[Draft] = read_records(folder.path / "drafts", Draft)
    if not drafts:
        raise InputError(f"{folder.path}/drafts holds no drafts", "run the sample stage first")
    return drafts


def _evaluated(config: LoopConfig, folder: RunFolder) -> list[Prompt]:
    """The run's held-out prompts, for the one filter that compares with them."""
    if "near_duplicate" not in config.pairs.filters:
        return []
    return [prompt for prompt in read_records(folder.path / "prompts", Prompt) if prompt.split == "heldout"]


def _no_pairs(figures: dict[str, Any]) -> InputError:
    reasons = ", ".join(f"{reason} {count}" for reason, count in list(figures["rejected"].items())[:3])
    source = SOURCES[figures["source"]]
    return InputError(
        f"none of {figures['candidates']} {source.candidates} became a pair ({reasons})",
        f"look at the rows in pairs/rejected, then mend {source.cure} or loosen the filters (pairs.*)",
    )
