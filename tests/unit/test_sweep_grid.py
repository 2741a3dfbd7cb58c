"""What `--over` spans, how its points are named, and what it refuses."""

import pytest

from raylign.config import load_config
from raylign.errors import ConfigError
from raylign.sweep.grid import grid


def test_every_combination_is_a_point_with_a_folder_that_tells_its_settings() -> None:
    points = grid(["train.objective=apo_zero,dpo", "train.beta=0.1, 0.3"])
    assert [point.name for point in points] == [
        "objective=apo_zero,beta=0.1",
        "objective=apo_zero,beta=0.3",
        "objective=dpo,beta=0.1",
        "objective=dpo,beta=0.3",
    ]
    assert [load_config(None, list(point.overrides)).train.beta for point in points] == [0.1, 0.3] * 2


def test_a_grid_that_grows_keeps_the_folders_of_its_points() -> None:
    small = grid(["train.beta=0.1,0.3"])
    assert set(small) <= set(grid(["train.beta=0.03,0.1,0.3,1"]))


def test_settings_that_are_no_file_name_get_one_of_their_own() -> None:
    names = [point.name for point in grid(["train.objective=a + 4*b,a + 4/b,a"])]
    assert len(set(names)) == 3
    assert not [name for name in names if set(name) & set(" */")]
    assert names[2] == "objective=a"


@pytest.mark.parametrize(
    ("over", "named"),
    [
        (["train.beta"], "train.beta"),
        (["train.beta=0.1,"], "key=value,value"),
        (["sample.temperature=0.1,0.2"], "train."),
        (["train.pairs=a,b"], "train.pairs"),
        (["train.beta=0.1,0.1"], "twice"),
        (["train.beta=0.1", "train.beta=0.2"], "twice"),
    ],
)
def test_a_grid_that_cannot_be_compared_or_read_is_one_clear_error(over: list[str], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        grid(over)
    assert named in str(caught.value)
