"""The reference cache, the checks of the first and of every step, and a run's figures."""

import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from raylign.config.objective import parse_objective
from raylign.errors import ModelError, TrainingError
from raylign.train.figures import final_loss, heldout_figures, likelihood_movement, means_of, rows_by_id
from raylign.train.objectives import Objective
from raylign.train.reference import (
    Reference,
    check_first_step,
    check_reference,
    load_reference,
    reference_key,
    reference_path,
    save_reference,
    weights_fingerprint,
)
from raylign.train.tokens import TokenPair

APO_ZERO, UNPAIRED = (Objective(parse_objective(name), beta=0.1) for name in ("apo_zero", "apo_zero_unpaired"))
PAIRS = [TokenPair("a", (1, 2), (3,), (4,)), TokenPair("b", (1,), (5, 6), (7,))]


def model_folder(path: Path, value: float) -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    save_file({"weight": torch.full((4,), value)}, path / "model.safetensors")
    return path


def test_cached_log_probabilities_come_back_to_the_bit(tmp_path: Path) -> None:
    reference = Reference({"a": (-1.1234567, -20.25), "b": (-0.1, -1 / 3)}, "runs/first", 2.5)
    path = reference_path(tmp_path, "key")
    save_reference(path, reference)
    assert load_reference(path, ["b", "a"]) == reference
    assert load_reference(path, ["a", "c"]) is None  # a pair is missing: the pass is done again
    assert load_reference(reference_path(tmp_path, "other"), ["a"]) is None
    path.write_bytes(path.read_bytes()[:-20])  # a copy that was cut short
    assert load_reference(path, ["a"]) is None


def test_a_file_with_one_changed_number_is_refused_by_its_name(tmp_path: Path) -> None:
    path = reference_path(tmp_path, "key")
    save_reference(path, Reference({"a": (-1.0, -2.0), "b": (-3.0, -4.0)}, "run", 1.0))
    table = pq.read_table(path)
    changed = table.set_column(2, "rejected", [[-2.0, -4.0001]])
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(TrainingError, match=r"reference-key\.parquet was changed"):
        load_reference(path, ["a", "b"])


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_a_model_that_gives_no_number_is_refused_before_it_trains(bad: float) -> None:
    check_reference({"a": (-1.0, 0.0)})
    with pytest.raises(TrainingError, match=r"pair b is not finite \(1 of 2 pairs\)"):
        check_reference({"a": (-1.0, -2.0), "b": (-3.0, bad)})


def test_the_key_changes_with_everything_the_numbers_depend_on(tmp_path: Path) -> None:
    weights = weights_fingerprint(model_folder(tmp_path / "one", 1.0))
    same = weights_fingerprint(model_folder(tmp_path / "copy", 1.0))
    other = weights_fingerprint(model_folder(tmp_path / "two", 2.0))
    assert weights == same != other
    key = reference_key(weights, PAIRS, "bf16", "shared")
    assert reference_key(same, list(PAIRS), "bf16", "shared") == key
    changed = [
        reference_key(other, PAIRS, "bf16", "shared"),
        reference_key(weights, [PAIRS[0], replace(PAIRS[1], chosen_ids=(5, 7))], "bf16", "shared"),
        reference_key(weights, PAIRS[:1], "bf16", "shared"),
        reference_key(weights, PAIRS, "fp32", "shared"),
        reference_key(weights, PAIRS, "bf16", "padded"),
    ]
    assert len({key, *changed}) == 6


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="safetensors"):
        weights_fingerprint(tmp_path)


def test_one_wrong_pair_is_found_though_its_loss_and_the_mean_are_right() -> None:
    """Both answers of b are off by as much, so its margin, and with it its loss, is as it should be."""
    right = {"chosen": (-70.0, -70.3), "rejected": (-120.4, -120.0)}
    wrong = {"chosen": (-70.0, -73.0), "rejected": (-120.0, -123.0)}
    with pytest.raises(
        TrainingError, match=r"answer of pair b is -70\.000, and under the reference -73\.000"
    ) as caught:
        check_first_step({"a": {"rejected": (-50.0, -49.0)}, "b": wrong, "c": right}, "bf16")
    assert "2 of 3 pairs" in caught.value.message
    assert "reference" in caught.value.cure
    check_first_step({"a": right, "c": right, "single": {"rejected": (0.0, 0.0)}}, "bf16")
    with pytest.raises(TrainingError):
        check_first_step({"a": {"chosen": (math.nan, -70.0)}}, "bf16")


def test_rounding_may_move_a_long_answer_further_and_hardly_any_in_fp32() -> None:
    moved = {"a": {"rejected": (-1000.0, -1001.5)}}
    check_first_step(moved, "bf16")
    with pytest.raises(TrainingError):
        check_first_step(moved, "fp32")
    with pytest.raises(TrainingError):
        check_first_step({"a": {"rejected": (-10.0, -11.5)}}, "bf16")


def test_heldout_figures_by_hand() -> None:
    """β = 0.1; a: rewards 0.1 · (2, −3), b: 0.1 · (−1, 1). Margins 0.5 and −0.2; one of two pairs is won.

    APO-zero: 1 − σ(0.2) + σ(−0.3) = 0.875723 and 1 − σ(−0.1) + σ(0.1) = 1.049958.
    """
    policy = {"a": (-8.0, -13.0), "b": (-6.0, -4.0)}
    reference = {"a": (-10.0, -10.0), "b": (-5.0, -5.0), "unused": (0.0, 0.0)}
    assert heldout_figures(PAIRS, policy, reference, APO_ZERO) == pytest.approx(
        {
            "pairs": 2,
            "loss": 0.9628409,
            "reward_accuracy": 0.5,
            "reward_margin": 0.15,
            "reward_chosen": 0.05,
            "reward_rejected": -0.1,
            "logps_chosen": -7.0,
            "logps_rejected": -8.5,
        }
    )
    assert heldout_figures([], {}, reference, APO_ZERO) == {"pairs": 0}


def test_heldout_single_answers_have_a_margin_and_no_accuracy() -> None:
    """β = 0.1; the desirable answer's reward is 0.2, those of the two undesirable ones −0.3 and 0.1: 0.2 − (−0.1)."""
    pairs = [TokenPair("a", (1,), (2,), ()), TokenPair("b", (1,), (), (3,)), TokenPair("c", (1,), (), (4,))]
    policy = {"a": (-8.0, 0.0), "b": (0.0, -13.0), "c": (0.0, -9.0)}
    reference = {"a": (-10.0, 0.0), "b": (0.0, -10.0), "c": (0.0, -10.0)}
    found = heldout_figures(pairs, policy, reference, UNPAIRED)
    assert found["reward_margin"] == pytest.approx(0.3)
    assert (found["logps_chosen"], found["logps_rejected"]) == (-8.0, -11.0)
    assert "reward_accuracy" not in found
    only = heldout_figures(pairs[:1], policy, reference, UNPAIRED)
    assert set(only) == {"pairs", "loss", "reward_chosen", "logps_chosen"}


def test_a_steps_means_are_over_the_rows_that_have_the_figure() -> None:
    pairs = [*PAIRS, TokenPair("c", (1,), (2,), ())]
    columns = {"loss": torch.tensor([1.0, 2.0, 6.0]), "rewards/rejected": torch.tensor([0.5, 0.25, math.nan])}
    rows = rows_by_id(pairs, columns)
    assert rows["c"] == {"loss": 6.0}
    assert means_of(rows.values()) == {"loss": 3.0, "rewards/rejected": 0.375}
    broken = rows_by_id(PAIRS, {"loss": torch.tensor([1.0, math.nan])})
    assert math.isnan(broken["b"]["loss"]), "of a pair it is no absence, and must be seen"


def test_the_movement_of_likelihoods_by_hand() -> None:
    """a: chosen of 1 token +2, rejected of 1 token −3; b: chosen of 2 tokens −1, rejected of 1 token +1.

    Per token: chosen (2 − 1) / 3 tokens, rejected (−3 + 1) / 2.
    """
    policy = {"a": (-8.0, -13.0), "b": (-6.0, -4.0)}
    reference = {"a": (-10.0, -10.0), "b": (-5.0, -5.0)}
    assert likelihood_movement(PAIRS, policy, reference) == pytest.approx(
        {
            "movement_chosen": 0.5,
            "movement_rejected": -1.0,
            "movement_chosen_per_token": 1 / 3,
            "movement_rejected_per_token": -1.0,
        }
    )
    assert likelihood_movement([], {}, {}) == {}


def test_the_final_loss_is_the_mean_of_the_last_tenth() -> None:
    assert final_loss([9.0] * 18 + [0.5, 0.25]) == 0.375
    assert final_loss([0.7]) == 0.7
