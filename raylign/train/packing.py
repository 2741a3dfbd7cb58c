"""How pairs lie in one forward pass: every token once, answers after the prompt they share; pure torch.

The shared layout is one row of T tokens. Segments form a tree: tokens that all prompts of the micro-batch begin
with, then the rest of each prompt, then its chosen and its rejected answer. A segment sees its ancestors and its own
past, and its positions go on from its parent's, so each answer has exactly the hidden states it would have alone:

    tokens     s s s | a a | c c c | r r | b b b | c c | r r r r
    positions  0 1 2 | 3 4 | 5 6 7 | 5 6 | 3 4 5 | 6 7 | 6 7 8 9
    parent     -       0     1       1     0       4     4

A row with a single answer has one segment for it. The padded layout, one row an answer, serves models whose attention
cannot be cut into segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from raylign.train.tokens import TokenPair


@dataclass(frozen=True)
class Segment:
    """A run of tokens: where it lies in the row, and the segments whose tokens come before it, nearest last."""

    start: int
    length: int
    ancestors: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """B pairs ready for a forward pass over R rows of T tokens (R is 1 in the shared layout).

    The N completion tokens of all answers are listed flat, answer after answer: chosen and rejected of the first pair,
    then of the second, and so on; answer 2·b is the chosen of pair b and 2·b + 1 its rejected. An answer that is not
    given has no tokens, so its summed log-probability is 0.
    """

    token_ids_RT: torch.Tensor
    position_ids_RT: torch.Tensor
    padding_RT: torch.Tensor | None
    """1 on real tokens, 0 on padding; None in the shared layout, which has none."""
    segments: tuple[Segment, ...]
    """Empty in the padded layout."""
    read_N: torch.Tensor
    """Index into the R·T hidden states of the one that predicts each completion token."""
    target_N: torch.Tensor
    """The completion tokens themselves."""
    answer_N: torch.Tensor
    """The answer, 0 to 2B − 1, that each completion token belongs to."""
    pairs: int

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on a device."""
        return replace(
            self,
            token_ids_RT=self.token_ids_RT.to(device),
            position_ids_RT=self.position_ids_RT.to(device),
            padding_RT=None if self.padding_RT is None else self.padding_RT.to(device),
            read_N=self.read_N.to(device),
            target_N=self.target_N.to(device),
            answer_N=self.answer_N.to(device),
        )


def pack(pairs: Sequence[TokenPair], shared: bool) -> Batch:
    """Lay out a micro-batch of at least one pair: prompt-shared in one row, or padded in a row for each answer."""
    return _pack_shared(pairs) if shared else _pack_padded(pairs)


def common_prefix(sequences: Sequence[tuple[int, ...]]) -> int:
    """How many leading tokens all sequences have in common."""
    first, last = min(sequences), max(sequences)  # in sorted order the extremes differ first
    length = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        length += 1
    return length


class _Row:
    """Collects segments into one row."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.segments: list[Segment] = []

    def add(self, tokens: Sequence[int], ancestors: tuple[int, ...]) -> tuple[int, ...]:
        """Append a segment below `ancestors`; returns the path that its own children name as theirs."""
        if not tokens:
            return ancestors
        depth = sum(self.segments[index].length for index in ancestors)
        self.segments.append(Segment(len(self.tokens), len(tokens), ancestors))
        self.tokens.extend(tokens)
        self.positions.extend(range(depth, depth + len(tokens)))
        return (*ancestors, len(self.segments) - 1)

    def last(self, path: tuple[int, ...]) -> int:
        """Index of the last token of a path."""
        segment = self.segments[path[-1]]
        return segment.start + segment.length - 1


def _pack_shared(pairs: Sequence[TokenPair]) -> Batch:
    row, reads = _Row(), []
    prefix = common_prefix([pair.prompt_ids for pair in pairs])
    root = row.add(pairs[0].prompt_ids[:prefix], ())
    for pair in pairs:
        prompt = row.add(pair.prompt_ids[prefix:], root)
        for answer in (pair.chosen_ids, pair.rejected_ids):
            # The last token's own hidden state predicts nothing that counts, but leaving it out would save one
            # token in a hundred and make every index below harder to trust.
            start = len(row.tokens)
            row.add(answer, prompt)
            reads.append([row.last(prompt), *range(start, start + len(answer) - 1)] if answer else [])
    return _batch(pairs, [row.tokens], [row.positions], None, tuple(row.segments), reads)


def _pack_padded(pairs: Sequence[TokenPair]) -> Batch:
    rows: list[list[int]] = []
    width, reads = max(pair.length for pair in pairs), []
    for pair in pairs:
        for answer in (pair.chosen_ids, pair.rejected_ids):
            start = len(rows) * width + len(pair.prompt_ids) - 1
            reads.append([start + at for at in range(len(answer))])
            if answer:
                rows.append([*pair.prompt_ids, *answer])
    tokens = [row + [0] * (width - len(row)) for row in rows]
    padding = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return _batch(pairs, tokens, [list(range(width))] * len(rows), padding, (), reads)


def _batch(
    pairs: Sequence[TokenPair],
    tokens: list[list[int]],
    positions: list[list[int]],
    padding: list[list[int]] | None,
    segments: tuple[Segment, ...],
    reads: list[list[int]],
) -> Batch:
    answers = [answer for pair in pairs for answer in (pair.chosen_ids, pair.rejected_ids)]
    return Batch(
        token_ids_RT=torch.tensor(tokens),
        position_ids_RT=torch.tensor(positions),
        padding_RT=None if padding is None else torch.tensor(padding),
        segments=segments,
        read_N=torch.tensor([index for read in reads for index in read]),
        target_N=torch.tensor([token for answer in answers for token in answer]),
        answer_N=torch.tensor([index for index, answer in enumerate(answers) for _ in answer]),
        pairs=len(pairs),
    )
