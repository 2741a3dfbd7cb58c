"""What the ablation lays beside raylign's own batches and logits: every step from padded to a trie; pure torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from raylign.train.logprobs import Projection
from raylign.train.packing import Batch, Segment, common_prefix, pack
from raylign.train.tokens import TokenPair

LAYOUTS = ("padded", "packed", "pair", "raylign", "trie")
LOGITS = ("everywhere", "answers", "chunked")
LEAST_SHARED = 4
"""Tokens that a common beginning must have to become a segment of its own; fewer cost more than they save."""


@dataclass
class _Row:
    """Collects segments into one row; `where[k]` lists the row's index of every token of sequence k."""

    sequences: list[tuple[int, ...]]
    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    where: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.where = [[] for _ in self.sequences]

    def grow(self, members: Sequence[int], depth: int = 0, ancestors: tuple[int, ...] = ()) -> None:
        """Lay sequences that agree in their first `depth` tokens, from there on, merging what they have in common."""
        for group in self.split(members, depth):
            for part, end in self.parts(group, depth):
                self.lay(part, depth, end, ancestors)

    def split(self, members: Sequence[int], at: int) -> list[list[int]]:
        """Members by their token at this index; those that have ended are left out."""
        groups: dict[int, list[int]] = {}
        for member in members:
            if len(self.sequences[member]) > at:
                groups.setdefault(self.sequences[member][at], []).append(member)
        return list(groups.values())

    def parts(self, members: Sequence[int], depth: int) -> list[tuple[Sequence[int], int]]:
        """Members that are worth a common segment from `depth` on, and where each segment ends."""
        end = depth + common_prefix([self.sequences[member][depth:] for member in members])
        if len(members) == 1 or end - depth >= LEAST_SHARED:
            return [(members, end)]
        ended = [([member], end) for member in members if len(self.sequences[member]) == end]
        return [*ended, *(part for group in self.split(members, end) for part in self.parts(group, depth))]

    def lay(self, members: Sequence[int], depth: int, end: int, ancestors: tuple[int, ...]) -> None:
        """One segment, tokens `depth` to `end` of its members, and what follows it."""
        start = len(self.tokens)
        self.segments.append(Segment(start, end - depth, ancestors))
        self.tokens.extend(self.sequences[members[0]][depth:end])
        self.positions.extend(range(depth, end))
        for member in members:
            self.where[member].extend(range(start, start + end - depth))
        self.grow(members, end, (*ancestors, len(self.segments) - 1))


def lay_out(pairs: Sequence[TokenPair], layout: str) -> Batch:
    """A micro-batch in one of LAYOUTS: `raylign` is what the trainer does, `pair` shares within each pair alone."""
    if layout in ("padded", "raylign"):
        return pack(pairs, shared=layout == "raylign")
    sequences = [(*pair.prompt_ids, *answer) for pair in pairs for answer in (pair.chosen_ids, pair.rejected_ids)]
    row = _Row(sequences)
    together = {"packed": 1, "pair": 2, "trie": len(sequences)}[layout]
    for first in range(0, len(sequences), together):
        row.grow(range(first, first + together))
    prompts = [len(pairs[at // 2].prompt_ids) for at in range(len(sequences))]
    return Batch(
        token_ids_RT=torch.tensor([row.tokens]),
        position_ids_RT=torch.tensor([row.positions]),
        padding_RT=None,
        segments=tuple(row.segments),
        read_N=torch.tensor(
            [at for where, prompt in zip(row.where, prompts, strict=True) for at in where[prompt - 1 : -1]]
        ),
        target_N=torch.tensor(
            [token for ids, prompt in zip(sequences, prompts, strict=True) for token in ids[prompt:]]
        ),
        answer_N=torch.tensor([at for at, ids in enumerate(sequences) for _ in ids[prompts[at] :]]),
        pairs=len(pairs),
    )


def whole_token_logps(
    hidden_ND: torch.Tensor, target_N: torch.Tensor, project: Projection, kept_tokens: int
) -> torch.Tensor:
    """Log-probabilities [N] as plain torch has them: all logits at once, kept for the backward pass."""
    return torch.log_softmax(project(hidden_ND).float(), dim=-1).gather(1, target_N[:, None]).squeeze(1)


def model_flops(batch: Batch, settings: object, head_everywhere: bool = False) -> float:
    """Multiplications and additions that a training step of this batch needs: 6 a weight and token, attention besides.

    Recomputed logits and padding's attention are not counted as needed; the optimizer is left out.

    Args:
        batch: one row of segments.
        settings: the model's configuration, a Llama's.
        head_everywhere: whether logits are computed at every position.
    """
    wide, narrow, layers = settings.hidden_size, settings.intermediate_size, settings.num_hidden_layers  # type: ignore[attr-defined]
    heads, key_heads = settings.num_attention_heads, settings.num_key_value_heads  # type: ignore[attr-defined]
    size = wide // heads
    weights = layers * (wide * size * (2 * heads + 2 * key_heads) + 3 * wide * narrow)
    tokens, answers = batch.token_ids_RT.numel(), batch.target_N.numel()
    seen = 0.0
    for segment in batch.segments:
        before = sum(batch.segments[at].length for at in segment.ancestors)
        seen += segment.length * (before + (segment.length + 1) / 2)
    attention = 12 * layers * wide * seen
    return (
        6.0 * weights * tokens + 6.0 * settings.vocab_size * wide * (tokens if head_everywhere else answers) + attention
    )  # type: ignore[attr-defined]
