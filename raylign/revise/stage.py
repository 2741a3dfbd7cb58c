"""The revision stage: every draft that can be improved goes to the reviser once. This acts; `intake` decides."""

from functools import partial
from typing import Any

from raylign.config import LoopConfig
from raylign.errors import InputError
from raylign.facts import cluster_waits
from raylign.parts import part_paths
from raylign.revise.asking import tally
from raylign.revise.pending import count_revisable, pending, revised_ids
from raylign.revise.reviser import ask_reviser
from raylign.revise.work import Revising
from raylign.run_folder import RunFolder
from raylign.screen import Screen


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Have every draft revised that has no revision yet; returns the stage's figures.

    With `pairs.source=stronger` the "revision" is the stronger model's own answer, made without sight of the draft.

    Raises:
        InputError: the run has no drafts, or its journal cannot be written.
        EndpointError: the endpoint is down, refuses the key or lacks the model, or the budget is spent; finished rows
            are kept.
        PlanError: the cluster has no room for the reviser actors.
        ConfigError: calls are wanted while batches of an earlier start are open.
    """
    drafts_folder, revisions_folder = folder.path / "drafts", folder.stage("revisions")
    if not part_paths(drafts_folder):
        raise InputError(f"{folder.path}/drafts holds no drafts", "run the sample stage first")
    total, revised = count_revisable(drafts_folder), revised_ids(revisions_folder)
    if len(revised) < total:
        work = Revising(config.revise, config.pairs.source)
        with screen.stage("revise", "revision", cluster_waits) as progress:
            windows = partial(pending, drafts_folder, revised)
            ask_reviser(config, folder, revisions_folder, work, windows, len(revised), total, progress)
    figures = tally(revisions_folder)
    return {"revisions": sum(figures["status"].values()), **figures}
