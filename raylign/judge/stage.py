"""The judging stage: two drafts of each prompt go to the judge, in both orders. This acts; `outcome` decides."""

from functools import partial
from typing import Any

from raylign.config import LoopConfig
from raylign.errors import InputError
from raylign.facts import cluster_waits
from raylign.judge.outcome import agreement
from raylign.judge.work import Judging
from raylign.parts import read_records, written_ids
from raylign.records import Comparison, Draft, Judgement
from raylign.revise.asking import tally
from raylign.revise.pending import windows_of
from raylign.revise.reviser import ask_reviser
from raylign.run_folder import RunFolder
from raylign.screen import Screen


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Have every comparison judged that has no judgement yet; returns the stage's figures.

    The judge is the model that `revise` names, reached as a reviser is: through the same pool, limits, budget and
    journal.

    Raises:
        InputError: the run has no drafts, or its journal cannot be written.
        EndpointError: the endpoint is down, refuses the key or lacks the model, or the budget is spent; finished rows
            are kept.
        PlanError: the cluster has no room for the actors.
        ConfigError: calls are wanted while batches of an earlier start are open.
    """
    drafts: list[Draft] = read_records(folder.path / "drafts", Draft)
    if not drafts:
        raise InputError(f"{folder.path}/drafts holds no drafts", "run the sample stage first")
    judgements_folder, judging = folder.stage("judgements"), Judging(config.revise)
    comparisons = judging.comparisons(drafts)
    judged = written_ids(judgements_folder, "id")
    waiting = [comparison for comparison in comparisons if comparison.id not in judged]
    if waiting:
        done, total = len(comparisons) - len(waiting), len(comparisons)
        with screen.stage("judge", "judgement", cluster_waits) as progress:
            windows = partial(windows_of, Comparison, waiting)
            ask_reviser(config, folder, judgements_folder, judging, windows, done, total, progress)
    judgements: list[Judgement] = read_records(judgements_folder, Judgement)
    return {"comparisons": len(comparisons), **tally(judgements_folder), **agreement(judgements)}
