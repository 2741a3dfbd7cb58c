"""What a command leaves of a new run folder when its work ends with an error."""

from pathlib import Path

import pytest

from raylign import commands
from raylign.config import LoopConfig
from raylign.errors import EndpointError, RaylignError, TrainingError, TrainingLostError
from raylign.run_folder import RunFolder
from raylign.screen import Screen


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (EndpointError("the reviser is down"), False),
        (TrainingError("training stopped at step 3", "its pairs are in train/offence.json"), True),
        (TrainingLostError("training failed: no space", "run again to go on from the newest checkpoint"), True),
    ],
)
def test_what_training_has_left_is_kept_for_whoever_reads_the_error(
    error: RaylignError, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "preflight", lambda *given: None)

    def work(folder: RunFolder, screen: Screen) -> list[str]:
        (folder.stage("train") / "offence.json").write_text("{}")
        raise error

    with pytest.raises(type(error)):
        commands._work_in(tmp_path / "run", LoopConfig(), ["train"], (), work, existed=False)
    assert (tmp_path / "run" / "train" / "offence.json").exists() == kept
