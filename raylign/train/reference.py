"""Log-probabilities under the reference model: a file computed once, its key, and the checks that it fits; pure.

The reference is the policy before its first step, so its log-probabilities come from the policy's own code path and
are never computed twice: a resumed run, or another run or objective on the same pairs, finds them by their key.

What is checked, and what cannot be: the key names weights, tokens (hence template), type and layout. A file whose
numbers are not those that were written is refused, pair by pair as far as their digest goes. The first step then shows
for each pair of its batch, before any weight has moved, that the numbers are the model's own. The other pairs come up
when the policy has moved; for them key and digest stand alone.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raylign.errors import ModelError, TrainingError
from raylign.parts import write_table
from raylign.records import content_id
from raylign.train.tokens import TokenPair

AnswerLogps = tuple[float, float]
"""Summed log-probabilities of a pair's chosen and rejected answer, in nats; 0 for one that is not given."""

ROUNDING = {"bf16": (0.5, 2e-3), "fp32": (5e-3, 2e-5)}
"""How far a log-probability may be from the reference's at the first step: in nats, and beside that as a share of it.
Another batch rounds an answer otherwise; on CPUs that emulate bf16 products, by a thousandth."""

_FORWARD_PASS = 3
"""Goes up with every change of how the forward pass rounds: in bf16 that moves an answer by half a nat, so numbers of
before it are none of the policy's, and are computed anew."""

_ORIGIN = b"raylign"
"""Under this name a file's metadata says who computed it: {"run", "seconds", "digest"}."""


@dataclass(frozen=True)
class Reference:
    """Log-probabilities of pairs under the reference, and where they come from."""

    logps: dict[str, AnswerLogps]
    run: str
    """The run folder whose workers computed them."""
    seconds: float
    """How long that took."""


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
    """The identity of a set of reference log-probabilities: weights, token ids (hence template), their type and that of
    products, layout, and how the forward pass rounds."""
    tokens = hashlib.sha256()
    for pair in pairs:
        tokens.update(repr((pair.id, pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)).encode())
    return content_id(weights, tokens.hexdigest(), dtype, layout, str(_FORWARD_PASS))


def reference_path(folder: Path, key: str) -> Path:
    """Where the log-probabilities of a key lie in a folder."""
    return folder / f"reference-{key}.parquet"


def save_reference(path: Path, reference: Reference) -> None:
    """Write log-probabilities by pair id with their origin, whole or not at all."""
    logps = reference.logps
    columns = {
        "id": list(logps),
        "chosen": [chosen for chosen, _ in logps.values()],
        "rejected": [rejected for _, rejected in logps.values()],
    }
    origin = {"run": reference.run, "seconds": reference.seconds, "digest": _digest(logps)}
    write_table(path, pa.table(columns).replace_schema_metadata({_ORIGIN: json.dumps(origin).encode()}))


def load_reference(path: Path, ids: Iterable[str]) -> Reference | None:
    """The log-probabilities of a file, or None where it is missing, unreadable, or lacks one of `ids`.

    Raises:
        TrainingError: the file holds other numbers than were written.
    """
    try:
        table = pq.read_table(path)
        origin = json.loads((table.schema.metadata or {})[_ORIGIN])
    except (FileNotFoundError, pa.ArrowInvalid, KeyError):
        return None
    logps = {row["id"]: (row["chosen"], row["rejected"]) for row in table.to_pylist()}
    if _digest(logps) != origin["digest"]:
        raise TrainingError(f"{path} was changed after it was written", "delete it and run again")
    return Reference(logps, origin["run"], origin["seconds"]) if all(id_ in logps for id_ in ids) else None


def check_reference(logps: Mapping[str, AnswerLogps]) -> None:
    """Refuse a model that finds an answer's likelihood to be no number.

    Raises:
        TrainingError: a log-probability is NaN or infinite; names the pair.
    """
    wrong = [id_ for id_, values in logps.items() if not all(math.isfinite(value) for value in values)]
    if wrong:
        raise TrainingError(
            f"the reference log-probability of pair {wrong[0]} is not finite ({len(wrong)} of {len(logps)} pairs)",
            "check the model's weights for NaN",
        )


def _digest(logps: Mapping[str, AnswerLogps]) -> str:
    return content_id(sorted((id_, *values) for id_, values in logps.items()))


def check_first_step(found: Mapping[str, Mapping[str, tuple[float, float]]], products: str) -> None:
    """Refuse a run whose first step shows that policy and reference differ.

    The log-probabilities say it of each answer, whatever the objective. A loss at its start value would not: where both
    answers of a pair are off by as much, what it depends on may be as if both were right.

    Args:
        found: (under the policy, under the reference) in nats, of each answer of the first global batch, by pair id and
            then side.
        products: what matrices are multiplied in.

    Raises:
        TrainingError: the two are further apart than `ROUNDING` allows, or one is no number.
    """
    flat, share = ROUNDING[products]
    wrong = [
        (id_, side, policy, reference)
        for id_, sides in found.items()
        for side, (policy, reference) in sides.items()
        if not abs(policy - reference) <= flat + share * abs(reference)
    ]
    if wrong:
        id_, side, policy, reference = max(wrong, key=lambda row: abs(row[2] - row[3]))
        count = len({row[0] for row in wrong})
        raise TrainingError(
            f"before the first step the log-probability of the {side} answer of pair {id_} is {policy:.3f}, and under "
            f"the reference {reference:.3f}: they must be the same ({count} of {len(found)} pairs)",
            "the reference log-probabilities do not belong to these weights: delete reference-*.parquet beside the "
            "pairs and run again",
        )
