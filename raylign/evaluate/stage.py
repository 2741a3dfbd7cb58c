"""The evaluation stage: both models answer the held-out prompts, the answers are compared and scored. This acts."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raylign.config import LoopConfig
from raylign.errors import EndpointError, InputError
from raylign.evaluate.compare import Score, figures, paired
from raylign.evaluate.rows import SIDES, Answer, Question, Side, latest, questions, sampling_text
from raylign.facts import cluster_waits
from raylign.model import resolve_model
from raylign.parts import PartWriter, read_records
from raylign.records import Prompt
from raylign.run_folder import RunFolder
from raylign.screen import Screen


def run(config: LoopConfig, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Compare the base model with the run's checkpoint on held-out prompts; returns the stage's figures.

    Answers reach `evaluate/answers/part-*.parquet` as they come, so a stopped stage asks only for what is
    missing. Ray must be running.

    Raises:
        InputError: the run has no checkpoint or no held-out prompts.
        EndpointError: the endpoint is down, lacks a model, or answered nothing.
        ModelError: the base model is missing or does not load.
    """
    checkpoint = _checkpoint(folder)
    asked = _questions(config, folder, checkpoint)
    answers_folder = folder.path / "evaluate" / "answers"
    with screen.stage("evaluate", "answer", cluster_waits) as progress:
        _answer(config, checkpoint, asked, answers_folder, progress.update)
        answers = latest(read_records(answers_folder, Answer))
        both = paired(asked, answers)
        if not both["base"]:
            raise _no_answers(asked, answers)
        progress.update(len(asked), len(asked), "scoring under the base model")
        scores = _scores(config, asked, both)
    failed = sum(question.id not in answers or answers[question.id].status != "ok" for question in asked)
    return figures(both, scores, failed, config.evaluate.bootstrap_samples, config.seed)


def _checkpoint(folder: RunFolder) -> Path:
    checkpoint = folder.path / "checkpoint"
    if not (checkpoint / "config.json").is_file():
        raise InputError(f"{folder.path} has no trained checkpoint", "run the train stage in this folder first")
    return checkpoint


def _questions(config: LoopConfig, folder: RunFolder, checkpoint: Path) -> list[Question]:
    prompts = [prompt for prompt in read_records(folder.path / "prompts", Prompt) if prompt.split == "heldout"]
    if not prompts:
        raise InputError(f"{folder.path}/prompts holds no held-out prompts", "raise prompts.heldout_share")
    # An id is a hash, so the first by id are a random choice that stays the same from run to run.
    chosen = sorted(prompts, key=lambda prompt: prompt.id)[: config.evaluate.prompts]
    weights: dict[Side, str] = {"base": config.model, "aligned": _weights_digest(checkpoint)}
    sampling = sampling_text(config.evaluate.max_tokens, config.evaluate.temperature)
    return questions(chosen, weights, sampling)


def _weights_digest(checkpoint: Path) -> str:
    """A checksum of the weights: answers of an earlier checkpoint in the same folder are never taken for this one's."""
    digest = hashlib.sha256()
    for path in sorted(checkpoint.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()[:32]}"


def _answer(config: LoopConfig, checkpoint: Path, asked: list[Question], folder: Path, update: Any) -> None:
    from raylign.evaluate.answers import ask

    have = {answer.id for answer in latest(read_records(folder, Answer)).values() if answer.status == "ok"}
    waiting = [question for question in asked if question.id not in have]
    if not waiting:
        return
    done = len(asked) - len(waiting)
    update(done, len(asked), "waiting for the endpoint")
    with _endpoint(config, checkpoint) as base_url, PartWriter(folder, Answer) as writer:
        ask(
            waiting,
            base_url,
            config.evaluate,
            config.seed,
            writer,
            lambda answered: update(done + answered, len(asked), "answers"),
        )


@contextmanager
def _endpoint(config: LoopConfig, checkpoint: Path) -> Iterator[str]:
    """The configured endpoint once it is seen to serve both models, or one of our own for as long as it is needed."""
    if config.evaluate.base_url is not None:
        from raylign.revise.client import check_endpoint

        for side in SIDES:
            check_endpoint(config.evaluate.base_url, side, config.evaluate.api_key_env)
        yield config.evaluate.base_url
        return
    from raylign.serve.endpoint import serve_models

    models = {"base": resolve_model(config.model), "aligned": str(checkpoint.resolve())}
    with serve_models(models, config.serve, config.trust_remote_code) as base_url:
        yield base_url


def _scores(config: LoopConfig, asked: list[Question], both: dict[Side, list[Answer]]) -> dict[Side, list[Score]]:
    from raylign.evaluate.score import score_on_cluster

    messages = {question.prompt.id: question.prompt.messages for question in asked}
    rows = [(messages[answer.prompt_id], answer.answer) for side in SIDES for answer in both[side]]
    scores = score_on_cluster(
        resolve_model(config.model),
        rows,
        gpus=min(1, config.serve.gpus_per_replica),
        trust_remote_code=config.trust_remote_code,
    )
    half = len(both["base"])
    return {"base": scores[:half], "aligned": scores[half:]}


def _no_answers(asked: list[Question], answers: dict[str, Answer]) -> EndpointError:
    details = Counter(
        f"{answers[question.id].status}: {answers[question.id].detail}"
        for question in asked
        if question.id in answers and answers[question.id].status != "ok"
    )
    worst = details.most_common(1)[0][0] if details else "no reply"
    return EndpointError(
        f"no held-out prompt was answered by both models ({worst})", "look at the endpoint's log, then run again"
    )
