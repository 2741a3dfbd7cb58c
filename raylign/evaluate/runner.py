"""Runs suites: has models and judge asked what each suite wants to know, and writes what it finds. This acts.

evaluate/suites.json                         every suite's figures
evaluate/SUITE/answers/part-*.parquet        the models' answers, as they come
evaluate/SUITE/verdicts/part-*.parquet       the judge's replies
evaluate/SUITE/rows.parquet                  the outcome of each row and model
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from raylign.config import LoopConfig
from raylign.errors import ConfigError, InputError
from raylign.evaluate.answering import Answering
from raylign.evaluate.asking import ask_questions
from raylign.evaluate.contestants import contestants
from raylign.evaluate.endpoint import Endpoints
from raylign.evaluate.results import merged, read_answer, short, suite_part
from raylign.evaluate.rows import Contestant, Question, question
from raylign.evaluate.suites.readings import answer_metrics
from raylign.evaluate.suites.registry import create_suite
from raylign.evaluate.suites.suite import (
    JudgeTask,
    LikelihoodSuite,
    Reading,
    Suite,
    SuiteResult,
    Task,
    is_over_likelihoods,
)
from raylign.facts import cluster_waits
from raylign.parts import write_table
from raylign.run_folder import RunFolder, write_json
from raylign.screen import Screen

RESULTS = "evaluate/suites.json"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_TAKEN = frozenset({"answers", "judge"})
"""What else lies in the stage's folder."""


def load(names: Sequence[str], config: LoopConfig, run: Path) -> list[Any]:
    """The suites of these names; reads what the user supplies to them, and nothing that the run makes.

    Raises:
        ConfigError: a suite is unknown, two have the same name, or one needs what is not configured.
        InputError: a file that a suite reads is missing or malformed.
    """
    found = {name: create_suite(name, config, run) for name in names}
    called = [suite.name for suite in found.values()]
    for name, suite in found.items():
        if not _NAME.fullmatch(suite.name) or suite.name in _TAKEN or called.count(suite.name) > 1:
            raise ConfigError(
                f"the suite {name} calls itself {suite.name!r}", "its name must be its own, and one a folder can have"
            )
        if getattr(suite, "needs_judge", False):
            _require_judge(suite.name, config)
        if is_over_likelihoods(suite) and not set(config.evaluate.models) <= {"base", "aligned"}:
            raise ConfigError(
                f"the suite {suite.name} measures weights, and evaluate.models is {config.evaluate.models}",
                "only the run's base and aligned can be measured: leave evaluate.models empty for it",
            )
    return list(found.values())


@dataclass
class Gathered:
    """What models and judge said to one suite."""

    tasks: list[Task] = field(default_factory=list)
    answers: dict[str, dict[str, Reading]] = field(default_factory=dict)
    verdicts: dict[str, Reading] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


class Runner:
    """Some suites on some models: first `ask`, while an endpoint is open, then `finish`, when it is gone again."""

    def __init__(self, config: LoopConfig, folder: RunFolder, screen: Screen, suites: Sequence[Any]) -> None:
        self.config, self.folder, self.screen, self.suites = config, folder, screen, suites
        self.models = contestants(config, folder.path) if suites else []
        self.gathered: dict[str, Gathered] = {}

    def further(self, known: Sequence[Contestant]) -> list[Contestant]:
        """The models that are compared beside these."""
        names = {one.name for one in known}
        return [one for one in self.models if one.name not in names]

    def ask(self, endpoints: Endpoints) -> None:
        """Have every model, and then the judge, asked what has no row yet.

        Raises:
            InputError: what the run should have made for a suite is not there.
            EndpointError, PlanError: see `raylign.revise.asking.ask_all`.
        """
        for suite in self.suites:
            if not is_over_likelihoods(suite):
                self.gathered[suite.name] = self._gather(suite, endpoints)

    def finish(self) -> dict[str, Any]:
        """Score all suites and write what they found; returns what `done.json` says of them, nothing without suites.

        Raises:
            ModelError: a model that is to be measured does not load.
        """
        parts: dict[str, Any] = {}
        for suite in self.suites:
            parts[suite.name] = self._measured(suite) if is_over_likelihoods(suite) else self._scored(suite)
        if not parts:
            return {}
        written, left_out = merged(self.folder.read_json(RESULTS), self.models, parts)
        write_json(self.folder.path / RESULTS, written)
        if left_out:
            self.screen.say(f"evaluate  {', '.join(left_out)} left out of suites.json: they were of other models")
        return {"suites": short(written["suites"])}

    def _gather(self, suite: Suite, endpoints: Endpoints) -> Gathered:
        evaluate, path = self.config.evaluate, self.folder.stage(f"evaluate/{suite.name}")
        found = Gathered(suite.tasks())
        _check_ids(suite.name, found.tasks)
        asked = [
            self._question(suite, task, one, task.max_tokens or evaluate.max_tokens, evaluate.temperature)
            for task in found.tasks
            for one in self.models
        ]
        with self.screen.stage(suite.name, "answer", cluster_waits) as progress:
            rows = ask_questions(asked, endpoints.of_models(path / "answers"), Answering(), progress)
        by_model: dict[str, dict[str, Reading]] = {one.name: {} for one in self.models}
        for row in rows.values():
            by_model[row.model][row.prompt_id] = read_answer(row)
        found.answers = by_model
        found.settings = {"sampling": {"max_tokens": evaluate.max_tokens, "temperature": evaluate.temperature}}
        self._judge(suite, found, endpoints, path)
        return found

    def _judge(self, suite: Suite, found: Gathered, endpoints: Endpoints, path: Path) -> None:
        tasks = suite.judge_tasks(found.answers)
        if not tasks:
            return
        _require_judge(suite.name, self.config)
        _check_ids(suite.name, tasks)
        judge, settings = endpoints.judge, self.config.evaluate.judge
        assert judge is not None
        asked = [self._question(suite, task, judge, settings.max_tokens, settings.temperature) for task in tasks]
        with self.screen.stage(suite.name, "verdict", cluster_waits) as progress:
            rows = ask_questions(asked, endpoints.of_judge(path / "verdicts"), Answering(), progress)
        found.verdicts = {row.prompt_id: read_answer(row) for row in rows.values()}
        sampling = {"max_tokens": settings.max_tokens, "temperature": settings.temperature}
        found.settings["judge"] = {"model": judge.name, "weights": judge.weights, **sampling}

    def _question(
        self, suite: Suite, task: Task | JudgeTask, model: Contestant, max_tokens: int, temperature: float
    ) -> Question:
        return question([suite.name, suite.version], task.id, task.messages, model, max_tokens, temperature)

    def _scored(self, suite: Suite) -> dict[str, Any]:
        found = self.gathered[suite.name]
        result = suite.score(found.answers, found.verdicts)
        further = answer_metrics(found.tasks, found.answers)
        return self._part(suite, len(found.tasks), result, found.settings, further)

    def _measured(self, suite: LikelihoodSuite) -> dict[str, Any]:
        from raylign.evaluate.pair_scores import measure

        pairs = suite.pairs()
        with self.screen.stage(suite.name, "pair", cluster_waits) as progress:
            likelihoods, dropped = measure(
                self.config, self.folder.path, [one.name for one in self.models], pairs, progress
            )
        return self._part(suite, len(pairs), suite.score_pairs(likelihoods, dropped), {})

    def _part(
        self,
        suite: Suite | LikelihoodSuite,
        tasks: int,
        result: SuiteResult,
        settings: dict[str, Any],
        further: Any = (),
    ) -> dict[str, Any]:
        evaluate = self.config.evaluate
        if result.rows:
            table = pa.Table.from_pylist(result.rows)
            write_table(self.folder.stage(f"evaluate/{suite.name}") / "rows.parquet", table)
        baseline = self.models[0].name
        return suite_part(
            suite.version, tasks, result, settings, baseline, evaluate.bootstrap_samples, self.config.seed, further
        )


def _require_judge(name: str, config: LoopConfig) -> None:
    if config.evaluate.judge.model is None:
        raise ConfigError(
            f"the suite {name} needs a judge, and evaluate.judge.model is null",
            "name a model of the evaluated endpoint, or set evaluate.judge.base_url too",
        )


def _check_ids(name: str, tasks: Sequence[Task] | Sequence[JudgeTask]) -> None:
    """Two tasks of one id would share a row."""
    seen: dict[str, int] = defaultdict(int)
    for task in tasks:
        seen[task.id] += 1
    twice = [id_ for id_, count in seen.items() if count > 1]
    if twice:
        raise InputError(
            f"the suite {name} has {len(twice)} ids more than once, such as {twice[0]!r}", "make them unique"
        )
