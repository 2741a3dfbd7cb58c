"""Both splits as token ids, with what cannot be trained on counted; before any worker starts. This acts on files."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raylign.config.objective import UNPAIRED, answers_needed, parse_objective
from raylign.config.training import TrainConfig
from raylign.errors import InputError
from raylign.parts import part_paths, read_records
from raylign.records import Pair
from raylign.tokenizer import load_tokenizer
from raylign.train.early_stop import is_measured
from raylign.train.job import Job
from raylign.train.tokens import TokenPair, encode_pairs


def prepare_tokens(job: Job, model: str) -> dict[str, Any]:
    """Write both splits as token ids, none longer than `train.max_length` or the model's context.

    Args:
        model: its folder or hub id.

    Returns:
        `dropped` {reason: pairs of both splits} and `truncated` (pairs of both splits whose prompt was cut).

    Raises:
        InputError: no pairs, none that can be used, or held-out ones without the figure that a setting goes by.
        ModelError: the model cannot be read, or cannot be trained with these settings.
    """
    from raylign.train.model_loading import check_rope, context_length, read_settings
    from raylign.train.ulysses import check_heads

    train, trusted = job.config.train, job.config.trust_remote_code
    if not part_paths(job.pairs / "train"):
        raise InputError(
            f"no pairs in {job.pairs / 'train'}",
            "run `raylign pairs` on this run folder first, or set train.pairs to a folder of pairs",
        )
    settings = read_settings(model, trusted)
    check_heads(settings, train.sequence_parallel)
    context = context_length(settings)
    longest = min(train.max_length, context or train.max_length)
    check_rope(settings, longest)
    tokenizer = load_tokenizer(model, trusted)
    needed = answers_needed(parse_objective(train.objective))
    dropped: Counter[str] = Counter()
    truncated, ids = 0, set[str]()
    for split in ("train", "heldout"):
        rows = read_records(job.pairs / split, Pair)
        encoded = encode_pairs(rows, tokenizer, longest, train.truncation, needed, ids)
        dropped.update(encoded.dropped)
        truncated += encoded.truncated
        if split == "train" and not encoded.pairs:
            counts = ", ".join(f"{reason} {count}" for reason, count in encoded.dropped.items()) or "no rows"
            raise InputError(
                f"none of the {len(rows)} pairs in {job.pairs / split} can be trained on ({counts})",
                f"too_long: {_longer(train.max_length, context)}; one_sided: take {' or '.join(UNPAIRED)}; "
                "else look at the pairs",
            )
        if split == "heldout":
            _check_heldout(train, encoded.pairs, job.pairs / split)
        job.save_tokens(split, encoded.pairs)
    return {"dropped": dict(dropped), "truncated": truncated}


def _longer(max_length: int, context: int | None) -> str:
    """What to do about pairs that are too long."""
    if context is not None and context <= max_length:
        return f"the model's context holds {context} tokens: take shorter pairs or another model"
    return f"raise train.max_length, now {max_length}"


def _check_heldout(train: TrainConfig, pairs: Sequence[TokenPair], folder: Path) -> None:
    """Refuse to keep or to stop by a figure that these held-out pairs cannot give."""
    for name in ("keep_best", "early_stop"):
        metric = getattr(train, name)
        if metric is not None and not is_measured(metric, pairs):
            raise InputError(
                f"the {len(pairs)} held-out pairs in {folder} have no {metric}, while train.{name} is {metric!r}",
                f"hold prompts out with prompts.heldout_share; single answers have no accuracy: take loss, or set "
                f"train.{name}=null",
            )
