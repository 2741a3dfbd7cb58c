"""The endpoints of an evaluation: that of the models, opened when it is first asked, and the judge's. This acts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from raylign.config import LoopConfig
from raylign.errors import ConfigError
from raylign.evaluate.contestants import ALIGNED, BASE, checkpoint_of, named
from raylign.evaluate.rows import Contestant
from raylign.model import resolve_model
from raylign.revise.asking import Inquiry, Place
from raylign.revise.ledger import Ledger
from raylign.run_folder import RunFolder


class Endpoints:
    """Where models and judge are reached for as long as a `with` block runs; nothing starts before it is asked."""

    def __init__(self, config: LoopConfig, folder: RunFolder, models: Sequence[Contestant]) -> None:
        self.config, self.folder, self.models = config, folder, models
        self.judge = judge_of(config, folder.path)
        self.open = ExitStack()
        self.base_url = ""

    def __enter__(self) -> "Endpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open.__exit__(kind, error, trace)

    def of_models(self, rows: Path) -> Inquiry:
        """Asking the models, with rows in this folder."""
        return self._inquiry("evaluate", rows)

    def of_judge(self, rows: Path) -> Inquiry:
        """Asking the judge, with rows in this folder.

        Raises:
            ConfigError: there is no judge.
        """
        if self.judge is None:
            raise ConfigError("evaluate.judge.model is null", "name the model that is to judge")
        return self._inquiry("evaluate.judge", rows)

    def _inquiry(self, section: str, rows: Path) -> Inquiry:
        evaluate = self.config.evaluate
        judge = evaluate.judge
        if judge.base_url is None:  # the endpoint that is evaluated, with its key
            judge = replace(judge, api_key_env=evaluate.api_key_env)
        of_models = section == "evaluate"
        endpoint = evaluate if of_models else judge
        reached = self._reached() if of_models or judge.base_url is None else self._reached_judge(judge.base_url)
        return Inquiry(
            section=section,
            endpoint=endpoint,
            reached=reached,
            rows=rows,
            journal=endpoint.journal or str(self.folder.path / "journal"),
            # One account for all suites, so that the cap is one on the whole evaluation.
            ledger=lambda: Ledger(self.folder.stage("evaluate" if of_models else "evaluate/judge")),
        )

    @contextmanager
    def _reached(self) -> Iterator[Place]:
        """The models' endpoint, which stays open until the `with` block ends."""
        if not self.base_url:
            self.base_url = self.open.enter_context(self._models_endpoint())
        known = [*self.models, *([self.judge] if self.judge else [])]
        yield Place(self.base_url, {one.weights: one.name for one in known})

    @contextmanager
    def _reached_judge(self, base_url: str) -> Iterator[Place]:
        from raylign.revise.client import check_endpoint

        judge = self.config.evaluate.judge
        check_endpoint(base_url, judge.model or "", judge.api_key_env)
        yield Place(base_url)

    def _models_endpoint(self) -> AbstractContextManager[str]:
        return self._checked() if self.config.evaluate.base_url is not None else self._served()

    @contextmanager
    def _checked(self) -> Iterator[str]:
        """The configured endpoint once it is seen to serve what is asked there."""
        from raylign.revise.client import check_endpoint

        evaluate = self.config.evaluate
        for name in names_at(self.config, self.models):
            check_endpoint(evaluate.base_url or "", name, evaluate.api_key_env)
        yield evaluate.base_url or ""

    @contextmanager
    def _served(self) -> Iterator[str]:
        """An endpoint of our own."""
        from raylign.serve.endpoint import serve_models

        sources: dict[str, Callable[[], str]] = {
            BASE: lambda: resolve_model(self.config.model),
            ALIGNED: self._checkpoint,
        }
        models = {name: sources[name]() for name in names_at(self.config, self.models)}
        with serve_models(models, self.config.serve, self.config.trust_remote_code) as base_url:
            yield base_url

    def _checkpoint(self) -> str:
        return str(checkpoint_of(self.folder.path).resolve())


def judge_of(config: LoopConfig, run: Path) -> Contestant | None:
    """The judge, by what its replies are told from other models'; None where none is configured."""
    judge = config.evaluate.judge
    if judge.model is None:
        return None
    return Contestant(judge.model, judge.model) if judge.base_url else named(judge.model, config, run)


def names_at(config: LoopConfig, models: Sequence[Contestant]) -> list[str]:
    """The names that the evaluated endpoint is asked for: the models, and the judge where it has no other endpoint."""
    judge = config.evaluate.judge
    further = [judge.model] if judge.model is not None and judge.base_url is None else []
    return list(dict.fromkeys([*(one.name for one in models), *further]))
