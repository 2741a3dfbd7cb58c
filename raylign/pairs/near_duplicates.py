"""Which prompts say nearly the same as another one. Pure; loads the MinHash library, so only who needs it imports it.

MinHash signatures and locality-sensitive hashing (rensa) find the few prompts that may be alike; each of these is then
compared exactly, so no prompt is called a near-duplicate by estimate. One in a hundred at the threshold may be missed.
"""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

from rensa import RMinHash, RMinHashLSH  # type: ignore[import-untyped]

from raylign.records import Message, Prompt

_SHINGLE = 5
"""Characters; runs of characters, not words, for the languages that write no spaces."""
_SIGNATURE = 120
"""Hash values a prompt: divisible into many shapes of bands."""
_SEED = 1
_FOUND = 0.99
"""Chance to find a pair that is exactly as alike as the threshold asks; more alike ones are found more surely."""


def near_duplicates(paired: Sequence[Prompt], evaluated: Sequence[Prompt], threshold: float) -> dict[str, str]:
    """The prompts of `paired` that repeat another prompt, by id, each with the id of the prompt that it repeats.

    A held-out prompt repeats the held-out prompt of `paired` with the smallest id that is kept and like it. A training
    prompt repeats any held-out one, kept or not, because all of `evaluated` are asked again in the evaluation; failing
    that, the kept training prompt with the smallest id. So no two prompts that are left are alike, nothing that is
    evaluated is trained on, and the order of arrival does not matter.

    Args:
        paired: Prompts that have a pair; several of the same id count as one.
        evaluated: Held-out prompts, with a pair or without.
        threshold: Jaccard similarity of two prompts' runs of five characters from which on they are near-duplicates.
    """
    heldout = _by_id([*(prompt for prompt in paired if prompt.split == "heldout"), *evaluated])
    train = [prompt for prompt in _by_id(paired) if prompt.split == "train"]
    index, duplicates = _Index(threshold), dict[str, str]()
    kept = {prompt.id for prompt in paired}
    for prompt in heldout:
        sketch = _Sketch.of(prompt)
        if prompt.id in kept and (like := index.first_like(sketch, among=kept)) is not None:
            duplicates[prompt.id] = like
            kept.remove(prompt.id)
        index.add(sketch)
    for prompt in train:
        sketch = _Sketch.of(prompt)
        if (like := index.first_like(sketch)) is not None:
            duplicates[prompt.id] = like
        else:
            index.add(sketch)
    return duplicates


@dataclass(frozen=True)
class _Sketch:
    """What is needed to look a prompt up and to compare it."""

    id: str
    text: str
    signature: RMinHash

    @classmethod
    def of(cls, prompt: Prompt) -> "_Sketch":
        text, signature = _text(prompt.messages), RMinHash(_SIGNATURE, _SEED)
        signature.update(list(_shingles(text)))
        return cls(prompt.id, text, signature)


class _Index:
    """Prompts to look up by likeness; answers with the one that was added first."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.buckets = RMinHashLSH(threshold, _SIGNATURE, _bands(threshold))

    def add(self, sketch: _Sketch) -> None:
        self.buckets.insert(len(self.ids), sketch.signature)
        self.ids.append(sketch.id)
        self.texts.append(sketch.text)

    def first_like(self, sketch: _Sketch, among: Set[str] | None = None) -> str | None:
        shingles = _shingles(sketch.text)
        places: list[int] = self.buckets.query(sketch.signature)
        for place in sorted(places):
            eligible = among is None or self.ids[place] in among
            if eligible and _jaccard(shingles, _shingles(self.texts[place])) >= self.threshold:
                return self.ids[place]
        return None


def _bands(threshold: float) -> int:
    """The fewest bands, so the fewest prompts compared in vain, that find a pair at the threshold surely enough.

    Two signatures agree in a value with the chance s of their similarity, in a band of r values with s^r, and in at
    least one of b bands with 1 − (1 − s^r)^b (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4.2).
    """
    shapes = [(bands, _SIGNATURE // bands) for bands in range(1, _SIGNATURE + 1) if _SIGNATURE % bands == 0]
    return next((bands for bands, rows in shapes if 1 - (1 - threshold**rows) ** bands >= _FOUND), _SIGNATURE)


def _shingles(text: str) -> set[str]:
    return {text[start : start + _SHINGLE] for start in range(max(1, len(text) - _SHINGLE + 1))}


def _jaccard(first: set[str], second: set[str]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def _text(messages: Sequence[Message]) -> str:
    """The words of the conversation, without case and punctuation, and without what a system prompt says to all.

    A conversation whose turns hold no word at all is told by its characters.
    """
    said = "\n".join(message["content"] for message in messages if message["role"] != "system").casefold()
    return " ".join(re.findall(r"\w+", said)) or said


def _by_id(prompts: Sequence[Prompt]) -> list[Prompt]:
    """One prompt an id, the smallest id first."""
    return [prompt for _, prompt in sorted({prompt.id: prompt for prompt in prompts}.items())]
