"""How pairs lie in one forward pass: every token once, answers after the prompt they share; pure torch.

The shared layout is one row of T tokens. Segments form a tree, as the answers with their prompts do: what several of
them begin with is laid once, be it the chat template's system text, a prompt or the beginning of both its answers. A
segment sees its ancestors and its own past, and its positions go on from its parent's, so each answer has exactly the
hidden states it would have alone. Its last token has no place in the row: nothing is predicted from it.

    tokens     s s s s | a a a a | c c c  | r r | b b b b | c c | r r r  r
    positions  0 1 2 3 | 4 5 6 7 | 8 9 10 | 8 9 | 4 5 6 7 | 8 9 | 8 9 10 11
    parent     -       | 0       | 1      | 1   | 0       | 4   | 4

A row with a single answer has one segment for it. The packed layout is the same row with nothing shared: each answer
behind its own copy of its prompt is one segment, without ancestors. So lie, in the shared layout too, answers that have
too little in common. The padded layout, one row an answer, serves models whose attention cannot be cut into segments;
`raylign.train.layout` tells which a model allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from raylign.train.tokens import TokenPair

Layout = Literal["shared", "packed", "padded"]

LEAST_SAVED = 4
"""Tokens that a common beginning must save to become a segment of its own; fewer are not worth another product."""


@dataclass(frozen=True)
class Segment:
    """A run of tokens: where it lies in the row, and the segments whose tokens come before it, nearest last."""

    start: int
    length: int
    ancestors: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """B pairs ready for a forward pass over R rows of T tokens (R is 1 but in the padded layout).

    The N completion tokens of all answers are listed flat, answer after answer: chosen and rejected of the first pair,
    then of the second, and so on; answer 2·b is the chosen of pair b and 2·b + 1 its rejected. An answer that is not
    given has no tokens, so its summed log-probability is 0.
    """

    token_ids_RT: torch.Tensor
    position_ids_RT: torch.Tensor
    padding_RT: torch.Tensor | None
    """1 on real tokens, 0 on padding; None in the other layouts, which have none."""
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


def pack(pairs: Sequence[TokenPair], layout: Layout) -> Batch:
    """Lay out a micro-batch of at least one pair: in one row, sharing or not, or padded in a row for each answer."""
    if layout == "padded":
        return _pack_padded(pairs)
    return pack_tree(pairs, together=None if layout == "shared" else 0)


def common_prefix(sequences: Sequence[tuple[int, ...]]) -> int:
    """How many leading tokens all sequences have in common."""
    first, last = min(sequences), max(sequences)  # in sorted order the extremes differ first
    length = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        length += 1
    return length


@dataclass
class _Tree:
    """Lays sequences into one row; `where[k]` lists the row's index of every token of sequence k."""

    sequences: Sequence[tuple[int, ...]]
    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    where: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.where = [[] for _ in self.sequences]

    def grow(self, members: Sequence[int], depth: int = 0, ancestors: tuple[int, ...] = ()) -> None:
        """Lay sequences that agree in their first `depth` tokens, from there on."""
        for group in self._split(members, depth):
            for part, end in self._parts(group, depth):
                self._lay(part, depth, end, ancestors)

    def _split(self, members: Sequence[int], at: int) -> list[list[int]]:
        """Members by their token at this index; those that have ended are left out."""
        groups: dict[int, list[int]] = {}
        for member in members:
            if len(self.sequences[member]) > at:
                groups.setdefault(self.sequences[member][at], []).append(member)
        return list(groups.values())

    def _parts(self, members: Sequence[int], depth: int) -> list[tuple[Sequence[int], int]]:
        """Members that are worth a common segment from `depth` on, and where each segment ends."""
        end = depth + common_prefix([self.sequences[member][depth:] for member in members])
        if len(members) == 1 or (len(members) - 1) * (end - depth) >= LEAST_SAVED:
            return [(members, end)]
        ended = [([member], end) for member in members if len(self.sequences[member]) == end]
        return [*ended, *(part for group in self._split(members, end) for part in self._parts(group, depth))]

    def _lay(self, members: Sequence[int], depth: int, end: int, ancestors: tuple[int, ...]) -> None:
        """One segment, tokens `depth` to `end` of its members, and what follows it."""
        start = len(self.tokens)
        self.segments.append(Segment(start, end - depth, ancestors))
        self.tokens.extend(self.sequences[members[0]][depth:end])
        self.positions.extend(range(depth, end))
        for member in members:
            self.where[member].extend(range(start, start + end - depth))
        self.grow(members, end, (*ancestors, len(self.segments) - 1))


def pack_tree(pairs: Sequence[TokenPair], together: int | None = None) -> Batch:
    """The layouts in one row.

    Args:
        together: how many neighbouring pairs may share tokens with each other; None for all, 0 for no sharing even
            within a pair.
    """
    answers = [(pair.prompt_ids, answer) for pair in pairs for answer in (pair.chosen_ids, pair.rejected_ids)]
    tree = _Tree([(*prompt, *answer[:-1]) if answer else () for prompt, answer in answers])
    step = len(answers) if together is None else max(1, 2 * together)
    for first in range(0, len(answers), step):
        tree.grow(range(first, min(first + step, len(answers))))
    reads = [where[len(prompt) - 1 :] for (prompt, _), where in zip(answers, tree.where, strict=True)]
    return _batch(pairs, [tree.tokens], [tree.positions], None, tuple(tree.segments), reads)


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
