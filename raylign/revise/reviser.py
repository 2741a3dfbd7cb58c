"""The reviser: the configured endpoint, or a model served for the run; by calls, or batches first. This acts."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from raylign.config import LoopConfig
from raylign.journal.files import JournalFiles
from raylign.revise.asking import Before, Inquiry, Place, ask_all
from raylign.revise.batch import fill_journal
from raylign.revise.batch_files import batches_usd, require_collected
from raylign.revise.client import check_endpoint
from raylign.revise.ledger import Ledger
from raylign.revise.secret import Secret
from raylign.revise.work import Windows, Work
from raylign.run_folder import RunFolder
from raylign.screen import StageProgress

_SERVED_NAME = "reviser"


def ask_reviser(
    config: LoopConfig,
    folder: RunFolder,
    rows_folder: Path,
    work: Work,
    windows: Windows,
    done: int,
    total: int,
    progress: StageProgress,
) -> None:
    """Do the work on all `windows` of items at the reviser, and write their rows to `rows_folder`; see `ask_all`.

    In batch mode it first waits for the provider, for hours perhaps. Until that is over it holds the Ray session and
    nothing in it: limiter and actors start afterwards, the engines of the stage before are gone, and nodes that an
    autoscaler brought up may leave.

    Raises:
        InputError, EndpointError, PlanError: as `ask_all`.
        ConfigError: calls are wanted while batches of an earlier start are open.
    """
    say = partial(progress.update, done, total)
    say("reaching the reviser")

    def fill(journal: JournalFiles, key: Secret) -> None:
        fill_journal(config.revise, work, windows, rows_folder, journal, key, Ledger(rows_folder).read(), say)

    before: Before | None = fill if config.revise.mode == "batch" else None
    ask_all(inquiry(config, folder, rows_folder, work), work, windows, done, total, progress, before)


def inquiry(config: LoopConfig, folder: RunFolder, rows_folder: Path, work: Work) -> Inquiry:
    """Asking the reviser for this work, with rows in this folder.

    Raises:
        ConfigError: calls are wanted while batches of an earlier start are open.
    """
    revise = config.revise
    require_collected(revise.mode, rows_folder)
    return Inquiry(
        section="revise",
        endpoint=revise,
        reached=_reached(config, work),
        rows=rows_folder,
        journal=revise.journal or str(folder.path / "journal"),
        ledger=lambda: Ledger(rows_folder, batches_usd(rows_folder)),
    )


@contextmanager
def _reached(config: LoopConfig, work: Work) -> Iterator[Place]:
    """The configured endpoint, checked, or one of our own for as long as it is needed."""
    revise = config.revise
    if revise.base_url is not None:
        check_endpoint(revise.base_url, revise.model, revise.api_key_env, response_format=work.response_format)
        yield Place(revise.base_url)
        return
    from raylign.serve.endpoint import serve_models

    with serve_models({_SERVED_NAME: revise.model}, config.serve, config.trust_remote_code) as base_url:
        yield Place(base_url, {revise.model: _SERVED_NAME})
