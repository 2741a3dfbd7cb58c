"""Gathers the evidence for a recommendation: samples, scores, has the judge compare. This acts; `evidence` decides.

<run>/recommend/recommendation.json   the decision and all evidence
<run>/recommend/sample/               the model's own answers, where the pairs hold none: a sample stage's folder
<run>/recommend/judge/                own answers against chosen ones: a judge stage's folder, with its journal
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from raylign.config import LoopConfig, TrainConfig
from raylign.errors import InputError
from raylign.judge.work import Judging
from raylign.model import resolve_model
from raylign.parts import PartWriter, part_paths, read_records
from raylign.recommend.cases import (
    Case,
    cases_from_drafts,
    cases_from_rejected,
    choose,
    outcomes,
    prompts_of,
    rejected_are_own,
    to_judge,
)
from raylign.recommend.evidence import Judgement, Scored, decide, weigh_judgement, weigh_likelihood
from raylign.recommend.words import lines
from raylign.records import Draft, Pair, Prompt
from raylign.records import Judgement as Verdict
from raylign.run_folder import RunFolder, write_json
from raylign.screen import Screen
from raylign.session import ray_session

MOST_PAIRS = 200
"""Enough for a win rate within 7 points, at a cost that is small beside a training run's."""


def of_recommending(config: LoopConfig, pairs: Path) -> LoopConfig:
    """The configuration of a recommendation: what only training depends on stands at its default, so it may change.

    Whether pairs that another model drafted are allowed is asked here as well.
    """
    sample = replace(config.sample, samples=1)
    train = TrainConfig(pairs=str(pairs.resolve()), allow_other_drafts=config.train.allow_other_drafts)
    return replace(config, sample=sample, train=train)


def run_recommend(config: LoopConfig, folder: RunFolder, screen: Screen) -> list[str]:
    """Start or reach Ray, and recommend an objective for the pairs in `train.pairs`; see `recommend`."""
    with ray_session(config.cluster, folder.path / "logs"):
        return recommend(config, folder, screen)


def recommend(config: LoopConfig, folder: RunFolder, screen: Screen) -> list[str]:
    """Recommend an objective for the pairs in `train.pairs`; returns the lines for a person. Ray must be running.

    The judge is the model that `revise` names at `revise.base_url`; without one there is none. What was sampled and
    judged before in this folder is not asked for again.

    Raises:
        InputError: there are no pairs.
        ModelError, PlanError: the model cannot be sampled from or scored.
        EndpointError: the judge's endpoint is down, refuses the key, lacks the model, or the budget is spent.
    """
    pairs = _pairs(config)
    own = rejected_are_own(pairs, config.model)
    cases = cases_from_rejected(pairs) if own else cases_from_drafts(pairs, _sample(config, folder, screen, pairs))
    likelihood = weigh_likelihood(_score(config, screen, cases), config.seed)
    judgement, without = _judge(config, folder, screen, cases) if config.revise.base_url else (None, {})
    decision = decide(likelihood, judgement, own)
    found = {
        **asdict(decision),
        "pairs": len(pairs),
        "own_answers": "rejected" if own else "sampled",
        "likelihood": asdict(likelihood) if likelihood else None,
        "judgement": asdict(judgement) | {"without_verdict": without} if judgement else None,
    }
    write_json(folder.path / "recommendation.json", found)
    return lines(decision, likelihood, judgement, without)


def _pairs(config: LoopConfig) -> list[Pair]:
    stored: list[Pair] = read_records(Path(config.train.pairs or "") / "train", Pair)
    usable = [pair for pair in stored if pair.chosen and pair.rejected]
    if not usable:
        raise InputError(f"no pairs with two answers in {config.train.pairs}/train", "name a folder of pairs")
    return choose(usable, MOST_PAIRS, config.seed)


def _sample(config: LoopConfig, folder: RunFolder, screen: Screen, pairs: Sequence[Pair]) -> list[Draft]:
    from raylign.sample import stage

    own = RunFolder(folder.stage("sample"))
    _write_once(own.stage("prompts"), Prompt, prompts_of(pairs))
    stage.run(config, own, screen)
    drafts: list[Draft] = read_records(own.path / "drafts", Draft)
    return drafts


def _score(config: LoopConfig, screen: Screen, cases: Sequence[Case]) -> list[Scored]:
    from raylign.evaluate.score import score_on_cluster

    answers = [(case.own, case.pair.chosen[-1]["content"], case.pair.rejected[-1]["content"]) for case in cases]
    rows = [(case.pair.prompt, answer) for case, three in zip(cases, answers, strict=True) for answer in three]
    with screen.stage("score", "answer") as progress:
        progress.update(0, len(rows), "likelihood under the model")
        scores = score_on_cluster(
            resolve_model(config.model),
            rows,
            gpus=min(1, config.sample.gpus_per_engine),
            trust_remote_code=config.trust_remote_code,
        )
    found = [scores[start : start + 3] for start in range(0, len(scores), 3)]
    return [
        Scored(case.prompt, *(score.logprob_sum / score.tokens for score in three))
        for case, three in zip(cases, found, strict=True)
        if all(score.tokens for score in three)
    ]


def _judge(
    config: LoopConfig, folder: RunFolder, screen: Screen, cases: Sequence[Case]
) -> tuple[Judgement, dict[str, int]]:
    from raylign.judge import stage

    compared = RunFolder(folder.stage("judge"))
    drafts = to_judge(cases)
    if drafts:
        _write_once(compared.stage("drafts"), Draft, drafts)
        stage.run(config, compared, screen)
    verdicts = {verdict.id: verdict for verdict in read_records(compared.path / "judgements", Verdict)}
    found, without = outcomes(cases, verdicts, Judging(config.revise))
    judge = config.revise.model
    return weigh_judgement(found, judge, any(case.pair.reviser_model == judge for case in cases)), without


def _write_once(folder: Path, record: type, rows: Sequence[Prompt] | Sequence[Draft]) -> None:
    """The rows follow from the folder's configuration alone, so those of an earlier start are the same."""
    if not part_paths(folder):
        with PartWriter(folder, record, rows_per_part=len(rows) + 1, seconds_per_part=float("inf")) as writer:
            writer.add(list(rows))
