"""`raylign promote` over a run folder: a decision with its evidence, and one clear line for what cannot be decided."""

import json
from pathlib import Path
from typing import Any

import pytest
from evaluated import write_results

from raylign import cli
from raylign.config import LoopConfig, PromoteConfig, to_yaml
from raylign.errors import InputError
from raylign.evaluate.contestants import weights_digest
from raylign.promote import stage
from raylign.promote.stage import run_promote

PROMOTE = ["promote.metric=ifeval.prompt_strict", "promote.guards={ifeval.answer_tokens: [-50, 50]}"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a checkpoint and the results of its evaluation."""
    folder = tmp_path / "run"
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(LoopConfig()), encoding="utf-8")
    (folder / "checkpoint" / "config.json").write_text("{}", encoding="utf-8")
    (folder / "checkpoint" / "model.safetensors").write_bytes(b"weights")
    write_results(folder, weights_digest(folder / "checkpoint"))
    return folder


def promote(run: Path, *arguments: str) -> int:
    return cli.main(["promote", "--run", str(run), *arguments])


def decision(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "decision.json").read_text(encoding="utf-8"))
    return found


def test_a_promotion_is_written_with_its_evidence(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert promote(run, *PROMOTE, "--require") == 0
    written = decision(run)
    assert written["verdict"] == "promoted"
    assert written["checkpoint"]["weights"] == weights_digest(run / "checkpoint")
    assert written["bounds"]["guards"] == {"ifeval.answer_tokens": [-50, 50]}
    assert [check["ci95"] for check in written["checks"]] == [[0.01, 0.09], [-30, -10]]
    assert written["suites"]["ifeval"] == {"version": "ifeval@123", "tasks": 541, "counts": {"aligned": {"ok": 541}}}
    assert len(written["results_sha256"]) == 64
    assert written["decided"].endswith("+00:00")
    assert written["served"] is None
    assert "promoted" in capsys.readouterr().out


@pytest.mark.parametrize(("low", "high", "verdict"), [(-0.03, 0.05, "undecided"), (-0.09, -0.01, "rejected")])
def test_undecided_and_rejected_end_with_0_and_with_3_where_a_promotion_is_required(
    run: Path, low: float, high: float, verdict: str
) -> None:
    write_results(run, weights_digest(run / "checkpoint"), low, high)
    assert promote(run, *PROMOTE) == 0
    assert decision(run)["verdict"] == verdict
    assert promote(run, *PROMOTE, "--require") == 3


def test_guards_may_be_given_one_by_one(run: Path) -> None:
    assert promote(run, PROMOTE[0], "promote.guards.ifeval.answer_tokens=[null, 0]") == 0
    assert [check["metric"] for check in decision(run)["checks"]] == ["ifeval.prompt_strict", "ifeval.answer_tokens"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "promote.metric is null; name what decides; evaluated: ifeval.prompt_strict"),
        (["promote.metric=mixeval.score"], "'mixeval' was not evaluated"),
        (["promote.metric=ifeval.prompt_strikt"], "did you mean ifeval.prompt_strict?"),
        ([PROMOTE[0], "promote.guards={ifeval.refusals: 0.1}"], "no metric 'refusals'"),
        ([PROMOTE[0], "promote.guards={ifeval.answer_tokens: 5%}"], "worst fall as a number"),
        ([PROMOTE[0], "serve.port=1"], "only promote.* can be set here"),
    ],
)
def test_what_cannot_be_decided_is_one_line_and_leaves_nothing(
    run: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promote(run, *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1
    assert not (run / "decision.json").exists()


def test_results_of_another_checkpoint_decide_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "checkpoint" / "model.safetensors").write_bytes(b"trained anew")
    assert promote(run, *PROMOTE) == 2
    assert "another checkpoint" in capsys.readouterr().err
    assert not (run / "decision.json").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "cannot be read"), ("{", "not JSON"), ("[]", "holds a list"), ('{"suites": {}}', "has no models")],
)
def test_results_that_are_missing_or_broken(
    run: Path, text: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "evaluate" / "suites.json"
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert promote(run, *PROMOTE) == 2
    assert words in capsys.readouterr().err


def test_a_run_without_checkpoint(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "checkpoint" / "config.json").unlink()
    assert promote(run, *PROMOTE) == 2
    assert "no trained checkpoint" in capsys.readouterr().err


def promoting(**changes: Any) -> LoopConfig:
    return LoopConfig(promote=PromoteConfig(metric="ifeval.prompt_strict", served=True, **changes))


def test_the_decision_stands_before_anything_is_changed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is on disk when the served model is upgraded, and says afterwards what came of it."""
    seen: list[Any] = []

    def upgrade(folder: Path, alias: str, checkpoint: Path) -> str:
        seen.append((decision(folder)["verdict"], decision(folder)["served"], alias, checkpoint))
        return "done"

    monkeypatch.setattr(stage, "_upgrade", upgrade)
    verdict, lines = run_promote(promoting(alias="live"), run)
    assert seen == [("promoted", None, "live", run / "checkpoint")]
    assert (verdict, lines[-1]) == ("promoted", "served    done")
    assert decision(run)["served"] == {"alias": "live", "upgraded": True, "says": "done"}


def test_what_is_served_is_left_where_nothing_is_promoted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_upgrade", lambda *arguments: pytest.fail("nothing may be upgraded"))
    write_results(run, weights_digest(run / "checkpoint"), -0.03, 0.05)
    assert "left as it is" in run_promote(promoting(), run)[1][-1]


def test_an_upgrade_that_fails_is_in_the_decision(run: Path) -> None:
    """No `raylign serve` keeps its record in this folder."""
    with pytest.raises(InputError):
        run_promote(promoting(), run)
    served = decision(run)["served"]
    assert decision(run)["verdict"] == "promoted"
    assert served["upgraded"] is False
    assert served["error"]
