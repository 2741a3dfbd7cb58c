"""Log-probabilities under the reference model: a file computed once, its key, and the check that it fits; pure.

The reference is the policy before its first step, so its log-probabilities come from the policy's own code path and
are never computed twice: a resumed run, or another objective on the same pairs, finds them by their key.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raylign.errors import ModelError, TrainingError
from raylign.parts import write_table
from raylign.records import content_id
from raylign.train.tokens import TokenPair

AnswerLogps = tuple[float, float]
"""Summed log-probabilities of a pair's chosen and rejected answer, in nats; 0 for one that is not given."""

TOLERANCE = 0.08
"""How far a reward may be from 0 at the first step, in nats times β; rounding in bf16 stays well below."""


def weights_fingerprint(folder: Path) -> str:
    """A hash of a model folder's configuration and weights, by content.

    Raises:
        ModelError: the folder holds no safetensors file.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(f"model folder {folder} has no .safetensors file", "save the model with safe serialization")
    digest = hashlib.sha256()
    for path in [folder / "config.json", *weights]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def reference_key(weights: str, pairs: Sequence[TokenPair], dtype: str, layout: str) -> str:
    """The identity of a set of reference log-probabilities: weights, token ids (hence template), dtype and layout."""
    tokens = hashlib.sha256()
    for pair in pairs:
        tokens.update(repr((pair.id, pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)).encode())
    return content_id(weights, tokens.hexdigest(), dtype, layout)


def reference_path(folder: Path, key: str) -> Path:
    """Where the log-probabilities of a key lie in a folder."""
    return folder / f"reference-{key}.parquet"


def save_reference(path: Path, logps: Mapping[str, AnswerLogps]) -> None:
    """Write log-probabilities by pair id, whole or not at all."""
    columns = {
        "id": list(logps),
        "chosen": [chosen for chosen, _ in logps.values()],
        "rejected": [rejected for _, rejected in logps.values()],
    }
    write_table(path, pa.table(columns))


def load_reference(path: Path, ids: Iterable[str]) -> dict[str, AnswerLogps] | None:
    """The log-probabilities of a file, or None where it is missing or lacks one of `ids`."""
    if not path.exists():
        return None
    rows = pq.read_table(path).to_pylist()
    found = {row["id"]: (row["chosen"], row["rejected"]) for row in rows}
    return found if all(id_ in found for id_ in ids) else None


def check_first_rewards(rewards: Mapping[str, Mapping[str, float]]) -> None:
    """Refuse a run whose first step shows that policy and reference differ.

    The rewards say it of each answer, whatever the objective. A loss at its start value would not: where both answers
    of a pair are off by as much, what it depends on may be as if both were right.

    Args:
        rewards: reward of each answer of the first global batch, by pair id and then side.

    Raises:
        TrainingError: a reward is further than `TOLERANCE` from 0, or is no number.
    """
    wrong = [
        (id_, side, value)
        for id_, sides in rewards.items()
        for side, value in sides.items()
        if not abs(value) <= TOLERANCE
    ]
    if wrong:
        id_, side, value = max(wrong, key=lambda found: abs(found[2]))
        count = len({found[0] for found in wrong})
        raise TrainingError(
            f"the first reward of the {side} answer of pair {id_} is {value:.3f} and must be 0 "
            f"({count} of {len(rewards)} pairs)",
            "the reference log-probabilities do not belong to these weights: delete reference-*.parquet in the run's "
            "train folder and run again",
        )


def check_finite(losses: Mapping[str, float], step: int) -> None:
    """Stop a run whose loss is no number any more.

    Raises:
        TrainingError: a loss is NaN or infinite; names the pair.
    """
    wrong = [id_ for id_, loss in losses.items() if not math.isfinite(loss)]
    if wrong:
        raise TrainingError(
            f"the loss of pair {wrong[0]} at step {step} is not finite ({len(wrong)} of {len(losses)} pairs)",
            "check the model's weights for NaN, lower train.learning_rate, or remove the pair",
        )
