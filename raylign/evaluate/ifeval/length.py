"""Checks of length: `length_constraints`. Pure."""

from raylign.evaluate.ifeval.text import count_sentences, count_words, meets

_ENDS_FIRST_WORD = ".,?!'\""


def number_words(response: str, *, num_words: int, relation: str) -> bool:
    """Less than / at least so many words, as `count_words` counts them."""
    return meets(count_words(response), relation, num_words)


def number_sentences(response: str, *, num_sentences: int, relation: str) -> bool:
    """Less than / at least so many sentences, as `count_sentences` counts them."""
    return meets(count_sentences(response), relation, num_sentences)


def number_paragraphs(response: str, *, num_paragraphs: int) -> bool:
    """Exactly so many paragraphs between the dividers `***`; none between two of them may be blank."""
    first, *inner = response.split("***")
    last = inner.pop() if inner else ""
    if not all(paragraph.strip() for paragraph in inner):
        return False
    return len(inner) + bool(first.strip()) + bool(last.strip()) == num_paragraphs


def nth_paragraph_first_word(response: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Exactly so many paragraphs between blank lines, the n-th (from 1) opening with the word, in any case.

    As published, blank pieces do not count as paragraphs but do count when the n-th is looked up, so a response
    that separates its paragraphs by more than one blank line fails for n > 1. The word ends at its first
    punctuation mark.
    """
    pieces = response.split("\n\n")
    count = sum(bool(piece.strip()) for piece in pieces)
    words = pieces[nth_paragraph - 1].split() if nth_paragraph <= count else []
    if not words:
        return False
    word = words[0].lstrip("'").lstrip('"').lower()
    for mark in _ENDS_FIRST_WORD:
        word = word.partition(mark)[0]
    return count == num_paragraphs and word == first_word.lower()
