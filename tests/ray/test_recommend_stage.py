"""The recommendation on a real Ray: a judge behind a real HTTP server, answers scored under a real (tiny) model."""

import json
from pathlib import Path
from typing import Any

import pytest
from provider import Provider
from records import make_pair, user

from raylign.config import LoopConfig, load_config
from raylign.parts import PartWriter
from raylign.recommend.stage import of_recommending, recommend
from raylign.records import Pair
from raylign.run_folder import RunFolder
from raylign.screen import Screen

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

PAIRS = 12


def prefer_own(messages: list[dict[str, str]]) -> str:
    """What a judge says that prefers the model's own answer, wherever it stands."""
    first = messages[1]["content"].partition("<answer_a>\n")[2]
    return f"Verdict: {'A' if first.startswith('Own') else 'B'}"


def configured(path: Path, model: Path, base_url: str | None) -> tuple[LoopConfig, RunFolder]:
    """Pairs whose rejected answers are the model's own, so that there is nothing to sample."""
    with PartWriter(path / "pairs" / "train", Pair) as writer:
        for index in range(PAIRS):
            asked, answers = user(f"What of {index}?"), (f"Good: {index}.", f"Own, as ever: {index}.")
            writer.add([make_pair(*answers, id=str(index), prompt=asked, target_model=str(model))])
    overrides = [f"model={model}", *([f"revise.base_url={base_url}", "revise.model=judge"] if base_url else [])]
    (path / "recommend").mkdir()
    return of_recommending(load_config(overrides=overrides), path / "pairs"), RunFolder(path / "recommend")


def found(folder: RunFolder) -> dict[str, Any]:
    evidence: dict[str, Any] = json.loads((folder.path / "recommendation.json").read_text())
    return evidence


def test_the_objective_follows_the_judge_and_nothing_is_judged_twice(tmp_path: Path, tiny_model: Path) -> None:
    with Provider(models=("judge",), reply=prefer_own) as judge:
        config, folder = configured(tmp_path, tiny_model, judge.url)
        lines = recommend(config, folder, Screen())
        evidence = found(folder)
        assert (evidence["objective"], evidence["basis"], evidence["pairs"]) == ("apo_down", "judgement", PAIRS)
        assert (evidence["judgement"]["win_rate"], evidence["judgement"]["prompts"]) == (0.0, PAIRS)
        assert "train.objective=apo_down" in lines[0]
        assert len(judge.arrivals) == 2 * PAIRS  # in both orders
        assert recommend(config, folder, Screen()) == lines
        assert len(judge.arrivals) == 2 * PAIRS


def test_without_a_judge_own_rejected_answers_speak_for_apo_zero_and_the_likelihood_is_shown(
    tmp_path: Path, tiny_model: Path
) -> None:
    config, folder = configured(tmp_path, tiny_model, None)
    lines = recommend(config, folder, Screen())
    evidence = found(folder)
    assert (evidence["objective"], evidence["basis"], evidence["judgement"]) == ("apo_zero", "labels", None)
    assert evidence["likelihood"]["prompts"] == PAIRS
    assert evidence["likelihood"]["own"] == evidence["likelihood"]["rejected"] < 0
    assert any("nats a token" in line for line in lines)
