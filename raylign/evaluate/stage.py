"""The evaluation stage: both models answer the held-out prompts, the answers are compared and scored. This acts."""

from collections import Counter
from typing import Any

from raylign.config import LoopConfig
from raylign.errors import EndpointError
from raylign.evaluate.answering import Answering
from raylign.evaluate.asking import ask_questions
from raylign.evaluate.compare import Score, figures, paired
from raylign.evaluate.contestants import sides
from raylign.evaluate.endpoint import Endpoints
from raylign.evaluate.rows import SIDES, Answer, Side, questions
from raylign.evaluate.runner import Runner, load
from raylign.evaluate.suites.prompts import heldout_prompts
from raylign.facts import cluster_waits
from raylign.model import resolve_model
from raylign.records import Prompt
from raylign.run_folder import RunFolder
from raylign.screen import Screen


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Compare the base model with the run's checkpoint on held-out prompts, and run the configured suites.

    Answers reach `evaluate/answers/part-*.parquet` as they come and the run's journal before that, so a stopped stage
    asks only for what is missing. Ray must be running. Returns the stage's figures.

    Raises:
        InputError: the run has no checkpoint or no held-out prompts, or a suite's input is missing or malformed.
        ConfigError: a suite is unknown, or needs what is not configured.
        EndpointError: an endpoint is down, lacks a model, or answered nothing, or the budget is spent.
        ModelError: the base model is missing or does not load.
    """
    both_sides = sides(config, folder.path)
    prompts = heldout_prompts(folder.path, config.evaluate.prompts)
    asked = questions(prompts, both_sides, config.evaluate.max_tokens, config.evaluate.temperature)
    runner = Runner(config, folder, screen, load(config.evaluate.suites, config, folder.path))
    with Endpoints(config, folder, [*both_sides, *runner.further(both_sides)]) as endpoints:
        with screen.stage("evaluate", "answer", cluster_waits) as progress:
            inquiry = endpoints.of_models(folder.stage("evaluate/answers"))
            answers = ask_questions(asked, inquiry, Answering(needs_tokens=True), progress)
        both = paired(asked, answers)
        if not both["base"]:
            raise _no_answers(answers)
        runner.ask(endpoints)
    # From here on the served models are gone: what is computed may take the cores.
    scores = _scores(config, screen, prompts, both)
    failed = sum(question.id not in answers or answers[question.id].status != "ok" for question in asked)
    found = figures(both, scores, failed, config.evaluate.bootstrap_samples, config.seed)
    return found | runner.finish()


def run_suites(config: LoopConfig, folder: RunFolder, screen: Screen, names: list[str]) -> None:
    """Run these suites alone, on a run whose other stages are left as they are; its `evaluate/suites.json` has them.

    Raises:
        InputError, ConfigError, EndpointError, ModelError: as `run`.
    """
    runner = Runner(config, folder, screen, load(names, config, folder.path))
    with Endpoints(config, folder, runner.models) as endpoints:
        runner.ask(endpoints)
    found = runner.finish()
    if done := folder.finished("evaluate"):
        folder.finish("evaluate", done | found, done["seconds"])


def _scores(
    config: LoopConfig, screen: Screen, prompts: list[Prompt], both: dict[Side, list[Answer]]
) -> dict[Side, list[Score]]:
    from raylign.evaluate.score import score_on_cluster

    messages = {prompt.id: prompt.messages for prompt in prompts}
    rows = [(messages[answer.prompt_id], answer.answer) for side in SIDES for answer in both[side]]
    with screen.stage("evaluate", "answer", cluster_waits) as progress:
        progress.update(0, len(rows), "scoring under the base model")
        scores = score_on_cluster(
            resolve_model(config.model),
            rows,
            gpus=min(1, config.serve.gpus_per_replica),
            trust_remote_code=config.trust_remote_code,
        )
    half = len(both["base"])
    return {"base": scores[:half], "aligned": scores[half:]}


def _no_answers(answers: dict[str, Answer]) -> EndpointError:
    details = Counter(f"{row.status}: {row.detail}" for row in answers.values() if row.status != "ok")
    worst = details.most_common(1)[0][0] if details else "no reply"
    return EndpointError(
        f"no held-out prompt was answered by both models ({worst})", "look at the endpoint's log, then run again"
    )
