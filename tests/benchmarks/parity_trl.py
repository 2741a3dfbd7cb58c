"""Whether raylign's loss and gradient are TRL's, in fp32 to the last digits and in bf16 to no larger an error.

Both sides get the same weights, the same token ids in the same order, the same AdamW. The reference is the policy with
one per cent of noise on every weight, so that rewards are not zero and KTO's KL baseline is not cut off there. `plain`
is one padded row an answer with logits at every position; every other form of raylign's has to give its loss and
gradient. `--quick` takes a random two-layer model. TRL comes from `make bench-peers`.

    python tests/benchmarks/parity_trl.py [--quick] [--part NAME …] [--out FILE.json]
"""

import math
import socket
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bench import Figure, Part, add_part, at_most, finish, measure_parts, options
from bf16_products import made_here
from peers import Rows, Side, as_rows, made_pairs, tokenise
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from raylign.config.objective import OBJECTIVES
from raylign.model import resolve_model
from raylign.train.baseline import mismatched
from raylign.train.tokens import TokenPair

PEERS = {
    "apo_zero": "apo_zero",
    "apo_down": "apo_down",
    "dpo": "sigmoid",
    "ipo": "ipo",
    "kto": "kto",
    "apo_zero_unpaired": "apo_zero_unpaired",
    "sft": "sft",
}
"""What TRL calls each of raylign's objectives; one that is missing here is reported as a miss."""
ALONE = ("sft",)
"""Compared on one pair: TRL takes the mean over a batch's tokens, raylign over each answer's and then over answers."""
PLAIN = ("padded", "everywhere")
FORMS = [
    ("packed", "answers", 1),
    ("pair", "answers", 1),
    ("raylign", "answers", 1),
    ("raylign", "chunked", 1),
    ("raylign", "chunked", 8),
]
"""Layout, way to the logits, and micro-batches that the eight pairs are accumulated from."""
BETA = 0.1
PAIRS = 8
TOLERANCE = 1e-5
OURS_IN_BF16: dict[str, Any] = {"dtype": "bfloat16", "products": "bf16", "bf16_anywhere": True}
THEIRS_IN_BF16: dict[str, Any] = {
    "settings": {"bf16": True, "gradient_checkpointing": False, "max_length": None},
    "bf16_anywhere": True,
}

Gradient = dict[str, torch.Tensor]


class Bench:
    """The models on disk, the pairs, and how each side is asked."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder, self.quick = folder, quick
        source = resolve_model("bundled")
        tokenizer = AutoTokenizer.from_pretrained(source)
        self.reference, self.policy = str(folder / "reference"), str(folder / "policy")
        torch.manual_seed(0)
        model = _tiny(tokenizer) if quick else AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
        self.save(model.bfloat16(), tokenizer, self.policy)
        with torch.no_grad():
            for value in model.parameters():
                value.mul_(1 + 0.01 * torch.randn_like(value))
        # In bf16 on disk both types start from the very same weights.
        self.save(model, tokenizer, self.reference)
        self.pairs = tokenise(made_pairs(128), tokenizer)

    @staticmethod
    def save(model: Any, tokenizer: Any, folder: str) -> None:
        """A model folder that both sides load."""
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    def ours(self, pairs: Sequence[TokenPair], **changes: Any) -> Side:
        """raylign's side on these pairs."""
        settings = {
            "model": self.policy, "reference": self.reference, "dtype": "float32", "learning_rate": 1e-5,
            "objective": "apo_zero", "beta": BETA, "layout": "raylign", "logits": "chunked", "cached": True,
            "rows": as_rows(pairs),
        }  # fmt: skip
        return Side("raylign_side.py", settings | changes)

    def theirs(self, pairs: Sequence[TokenPair], loss_type: str, batch_size: int, **changes: Any) -> Side:
        """TRL's side on these pairs."""
        settings: dict[str, Any] = {
            "model": self.policy, "reference": self.reference, "dtype": "float32", "learning_rate": 1e-5,
            "loss_type": loss_type, "beta": BETA, "batch_size": batch_size, "rows": as_rows(pairs),
            "settings": {"bf16": False, "gradient_checkpointing": False, "max_length": None},
        }  # fmt: skip
        return Side("trl_side.py", settings | changes)

    def gradient(self, made: Side, **arguments: Any) -> tuple[float, Gradient]:
        """Loss and gradient of a side's first batch."""
        out = self.folder / "gradient.safetensors"
        loss = made.ask("gradient", out=str(out), **arguments)["loss"]
        found = load_file(out)
        out.unlink()
        return loss, found


def _tiny(tokenizer: Any) -> Any:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def apart(found: float, wanted: float) -> float:
    """How far a loss is off, as a share of it where it is above 1: ipo starts at 25, with fewer digits behind it."""
    return abs(found - wanted) / max(1.0, abs(wanted))


def distance(found: Gradient, wanted: Gradient) -> float:
    """Relative error of a gradient: the norm of the difference over the norm of what is wanted."""
    if set(found) != set(wanted):
        return math.inf
    difference = sum(float((found[name].double() - wanted[name].double()).square().sum()) for name in wanted)
    return math.sqrt(difference / sum(float(value.double().square().sum()) for value in wanted.values()))


def objectives(bench: Bench) -> Part:
    """Every objective that raylign has, against TRL's."""
    pairs, figures = bench.pairs[:PAIRS], []
    ours = bench.ours(pairs)
    for name in OBJECTIVES:
        if name not in PEERS:
            figures.append(Figure(f"{name}: compared with TRL", 0.0, "≥ 1", met=False))
            continue
        count = 1 if name in ALONE else PAIRS
        loss, gradient = bench.gradient(ours, objective=name, batches=[list(range(count))])
        rows = with_mismatched(pairs) if name == "kto" else as_rows(pairs[:count])
        theirs = bench.theirs(pairs, PEERS[name], count, rows=rows)
        their_loss, their_gradient = bench.gradient(theirs)
        theirs.close()
        figures.append(at_most(f"{name}: loss, difference from TRL", apart(loss, their_loss), TOLERANCE))
        figures.append(at_most(f"{name}: gradient, relative error", distance(gradient, their_gradient), TOLERANCE))
    ours.close()
    return figures, {}


def accuracy(bench: Bench) -> Part:
    """Which of the two is nearer to APO-zero's gradient in fp64: what they differ by is the rounding of both."""
    pairs = bench.pairs[:PAIRS]
    truth = in_fp64(bench, pairs)
    ours, theirs = bench.ours(pairs), bench.theirs(pairs, PEERS["apo_zero"], PAIRS)
    mine = bench.gradient(ours, objective="apo_zero", batches=[list(range(PAIRS))])[1]
    other = bench.gradient(theirs)[1]
    ours.close()
    theirs.close()
    errors = {"raylign": distance(mine, truth), "TRL": distance(other, truth)}
    share = errors["raylign"] / errors["TRL"]
    return [
        at_most("fp32 against fp64: raylign's gradient, relative error", errors["raylign"], TOLERANCE),
        at_most("fp32 against fp64: TRL's gradient, relative error", errors["TRL"], math.inf),
        at_most("fp32 against fp64: raylign's error as a share of TRL's", share, 1.0),
    ], {"fp32 errors of the gradient": errors}


def in_fp64(bench: Bench, pairs: Sequence[TokenPair]) -> Gradient:
    """The gradient of APO-zero (arXiv 2408.06266, equation 3), a sequence at a time, by transformers alone."""
    policy, reference = fp64_model(bench.policy), fp64_model(bench.reference)
    for pair in pairs:
        chosen, rejected = (
            BETA * (fp64_logp(policy, pair.prompt_ids, answer) - fp64_logp(reference, pair.prompt_ids, answer).detach())
            for answer in (pair.chosen_ids, pair.rejected_ids)
        )
        ((1 - torch.sigmoid(chosen) + torch.sigmoid(rejected)) / len(pairs)).backward()
    return {name: value.grad for name, value in policy.named_parameters() if value.grad is not None}


def fp64_model(folder: str) -> Any:
    """A model whose norms stay in fp64, too, which transformers takes down to fp32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(
                torch.rms_norm, normalized_shape=[len(module.weight)], weight=module.weight, eps=module.variance_epsilon
            )
    return model


def fp64_logp(model: Any, prompt: tuple[int, ...], answer: tuple[int, ...]) -> torch.Tensor:
    """Summed log-probability of an answer."""
    logits_TV = model(input_ids=torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits_TV, dim=-1).gather(1, torch.tensor(answer)[:, None]).sum()


def with_mismatched(pairs: Sequence[TokenPair]) -> Rows:
    """Rows that also say which answers raylign's KL baseline sees behind each prompt, for TRL to see the same."""
    return [
        row | {"mismatched_chosen_ids": other.chosen_ids, "mismatched_rejected_ids": other.rejected_ids}
        for row, other in zip(as_rows(pairs), mismatched(pairs), strict=True)
    ]


def forms(bench: Bench) -> Part:
    """Every way to lay out and accumulate a batch, against the plain one."""
    pairs, figures = bench.pairs[:PAIRS], []
    whole = [list(range(PAIRS))]
    ours = bench.ours(pairs)
    ours.ask("arrange", layout=PLAIN[0], logits=PLAIN[1])
    plain = bench.gradient(ours, objective="apo_zero", batches=whole)
    for layout, logits, parts in FORMS:
        ours.ask("arrange", layout=layout, logits=logits)
        split = [list(range(PAIRS))[part::parts] for part in range(parts)]
        found = bench.gradient(ours, objective="apo_zero", batches=split)
        figures += against(plain, found, f"{layout}, logits {logits}, {parts} × {PAIRS // parts} pairs")
    ours.close()
    figures += against(plain, ranks(bench, pairs, 2), "DeepSpeed engine on 2 ranks")
    heads = LlamaConfig.from_pretrained(bench.policy).num_key_value_heads
    sliced = ranks(bench, pairs, heads, slices=heads)
    return figures + against(plain, sliced, f"DeepSpeed engine on {heads} ranks that share every row"), {}


def against(plain: tuple[float, Gradient], found: tuple[float, Gradient], name: str) -> list[Figure]:
    """Loss and gradient of one form beside the plain ones."""
    return [
        at_most(f"{name}: loss, difference from plain", apart(found[0], plain[0]), TOLERANCE),
        at_most(f"{name}: gradient, relative error", distance(found[1], plain[1]), TOLERANCE),
    ]


def ranks(bench: Bench, pairs: Sequence[TokenPair], count: int, slices: int = 1) -> tuple[float, Gradient]:
    """The global batch dealt to ranks of the engine, so many of which share each row."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = bench.folder / "ranks.safetensors"
    sides = [
        Side("raylign_rank.py", {
            "model": bench.policy, "reference": bench.reference, "objective": "apo_zero", "beta": BETA, "ranks": count,
            "slices": slices,
            "rows": as_rows(pairs), "out": str(out),
            "environment": {
                "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            },
        })
        for rank in range(count)
    ]  # fmt: skip
    for made in sides:
        made.tell("gradient")
    losses = [made.hear()["loss"] for made in sides]
    for made in sides:
        made.close()
    return losses[0], load_file(out)


def half_precision(bench: Bench) -> Part:
    """Errors of bf16 against the fp32 truth over some batches, as a share of TRL's own.

    A batch's error is as much chance as precision: each rounding goes its own way through thirty layers. So the
    gradients' are taken together over all batches, as the losses' are.
    """
    batches = 2 if bench.quick else 6
    pairs = bench.pairs[: PAIRS * batches]
    losses: dict[str, list[float]] = {"truth": [], "bf16": [], "TRL": []}
    squares = {"bf16": 0.0, "TRL": 0.0}
    truth, ours = bench.ours(pairs), bench.ours(pairs, **OURS_IN_BF16)
    for first in range(0, len(pairs), PAIRS):
        theirs = bench.theirs(pairs[first : first + PAIRS], "apo_zero", PAIRS, **THEIRS_IN_BF16)
        asked = {"objective": "apo_zero", "batches": [list(range(first, first + PAIRS))]}
        found = {
            "truth": bench.gradient(truth, **asked), "bf16": bench.gradient(ours, **asked),
            "TRL": bench.gradient(theirs),
        }  # fmt: skip
        theirs.close()
        for name, (loss, _) in found.items():
            losses[name].append(loss)
        for name in squares:
            squares[name] += distance(found[name][1], found["truth"][1]) ** 2
    truth.close()
    ours.close()
    errors = {name: math.dist(losses[name], losses["truth"]) for name in squares}
    distances = {name: math.sqrt(square / batches) for name, square in squares.items()}
    return [
        at_most("bf16: error of the loss, share of TRL's", errors["bf16"] / errors["TRL"], 1.0),
        at_most("bf16: error of the gradient, share of TRL's", distances["bf16"] / distances["TRL"], 1.0),
    ], {
        "bf16 products made in fp32": made_here(),
        "bf16 errors of the loss": errors,
        "bf16 errors of the gradient": distances,
        "bf16 losses": losses,
    }


def half_precision_by_pairs(bench: Bench) -> Part:
    """The same of the losses of single pairs: means of a few batches say little of which error is the larger."""
    pairs = bench.pairs[:4] if bench.quick else bench.pairs[: 6 * PAIRS]
    alone = [[at] for at in range(len(pairs))]
    losses: dict[str, list[float]] = {}
    for name, changes in (("truth", {}), ("bf16", OURS_IN_BF16)):
        ours = bench.ours(pairs, **changes | {"learning_rate": 0.0})
        losses[name] = ours.ask("steps", batches=alone)["losses"]
        ours.close()
    theirs = bench.theirs(pairs, "apo_zero", 1, **THEIRS_IN_BF16 | {"learning_rate": 0.0})
    losses["TRL"] = theirs.ask("steps", steps=len(alone))["losses"]
    theirs.close()
    errors = {name: math.dist(losses[name], losses["truth"]) for name in ("bf16", "TRL")}
    return [
        at_most(f"bf16: error of {len(pairs)} pairs' losses, share of TRL's", errors["bf16"] / errors["TRL"], 1.0)
    ], {"bf16 products made in fp32": made_here(), "bf16 errors of pairs": errors, "bf16 losses of pairs": losses}


def trajectory(bench: Bench) -> Part:
    """The losses of a training run of two pairs a step, the reference being the policy as it starts."""
    count, size = (10, 2) if bench.quick else (50, 2)
    pairs = bench.pairs[: count * size]
    batches = [list(range(at * size, (at + 1) * size)) for at in range(count)]
    ours = bench.ours(pairs, reference=bench.policy)
    losses = ours.ask("steps", batches=batches)["losses"]
    ours.close()
    theirs = bench.theirs(pairs, "apo_zero", size, reference=bench.policy)
    their_losses = theirs.ask("steps", steps=count)["losses"]
    theirs.close()
    furthest = max(abs(ours - theirs) for ours, theirs in zip(losses, their_losses, strict=True))
    return [at_most(f"loss over {count} steps, furthest from TRL", furthest, 1e-4)], {
        "losses": losses,
        "TRL's losses": their_losses,
    }


def main() -> None:
    """Objectives, forms, bf16, and a run of steps."""
    arguments = options(__doc__, add_part)
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        bench = Bench(Path(folder), arguments.quick)
        parts = {
            "objectives": objectives,
            "accuracy": accuracy,
            "forms": forms,
            "bf16": half_precision,
            "bf16 pairs": half_precision_by_pairs,
            "steps": trajectory,
        }
        figures, details = measure_parts(arguments, {name: partial(part, bench) for name, part in parts.items()})
    finish(arguments, figures, details)


if __name__ == "__main__":
    main()
