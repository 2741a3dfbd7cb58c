"""Peak memory of a training step on answers of up to 32,768 tokens, by what is done about it.

The training stage through Ray Train and DeepSpeed on one pair whose two answers fill `train.max_length`; a random model
of two layers, fp32, on CPU. Plain; with activations made again in the backward pass; and with two workers that share
the row besides, whose memory each is what counts.

    python tests/benchmarks/long_rows.py [--quick] [--out FILE.json]
"""

import tempfile
from pathlib import Path

from bench import at_most, finish, local_ray, options
from random_model import random_llama
from records import make_pair, user
from training_run import metrics, train

from raylign.parts import PartWriter
from raylign.records import Pair

WAYS = {
    "plain": [],
    "checkpointing": ["train.activation_checkpointing=true"],
    "checkpointing, 2 workers": ["train.activation_checkpointing=true", "train.workers=2", "train.sequence_parallel=2"],
}
LENGTHS = (8_192, 16_384, 32_768)


def write_pair(folder: Path, tokens: int) -> None:
    """One pair for each split, whose answers are of about so many tokens and differ from the first word on."""
    asked = user("Count the stones in the river.")
    for split, length in (("train", tokens), ("heldout", 256)):
        words = length - 60  # the rest is the prompt in its template
        with PartWriter(folder / split, Pair) as writer:
            writer.add([make_pair(" stone" * words, " lamp" * words, id=split, prompt=asked, split=split)])


def peak_gib(root: Path, model: Path, tokens: int, settings: list[str]) -> float:
    """Of the worker that held most, over one step."""
    path = root / f"{tokens}-{len(settings)}"
    write_pair(path / "pairs", tokens)
    one = [f"train.max_length={tokens}", "train.batch_size=1", "train.micro_batch_size=1", "train.epochs=1"]
    train(path, model, *one, *settings)
    return float(max(line["peak_memory_gib"] for line in metrics(path) if "peak_memory_gib" in line))


def main() -> None:
    """Every length in every way."""
    arguments = options(__doc__)
    found: dict[str, dict[int, float]] = {name: {} for name in WAYS}
    with tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as folder, local_ray():
        shape = {"hidden_size": 128, "intermediate_size": 384, "max_position_embeddings": 32_768}
        model = random_llama(Path(folder) / "model", **shape)
        for tokens in LENGTHS[:1] if arguments.quick else LENGTHS:
            for name, settings in WAYS.items():
                found[name][tokens] = peak_gib(Path(folder), model, tokens, settings)
                print(f"{tokens:>6} tokens, {name:<24} {found[name][tokens]:.2f} GiB", flush=True)
    longest = max(found["plain"])
    shares = {name: found[name][longest] / found["plain"][longest] for name in WAYS if name != "plain"}
    figures = [
        at_most(f"{longest} tokens, {name}: peak memory, share of plain", share, 1.0) for name, share in shares.items()
    ]
    finish(arguments, figures, {"peak_memory_gib": found})


if __name__ == "__main__":
    main()
