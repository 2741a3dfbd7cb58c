"""Near-duplicate prompts: which one is kept, that held-out prompts win, and that order does not matter."""

import itertools
import random

import pytest

from raylign.pairs.near_duplicates import near_duplicates
from raylign.records import Message, Prompt, Split

BASE = "Write a short story about a lighthouse keeper who finds a message in a bottle on the beach after a storm."
LIKE = BASE.replace("short", "brief")
OTHER = "How do I bake a loaf of rye bread without a starter, and how long does it keep?"


def prompt(identifier: str, text: str, split: Split = "train", system: str = "") -> Prompt:
    messages = [Message(role="user", content=text)]
    return Prompt(identifier, [Message(role="system", content=system), *messages] if system else messages, split, "s")


def test_the_smallest_id_of_like_prompts_is_kept_whatever_the_order() -> None:
    prompts = [prompt("c", BASE), prompt("a", LIKE), prompt("b", OTHER), prompt("d", BASE.upper() + "!!")]
    for order in itertools.permutations(prompts):
        assert near_duplicates(order, [], 0.8) == {"c": "a", "d": "a"}


def test_the_threshold_decides() -> None:
    """`The cat sat` and `the cat sit` have the runs the_c he_ca e_cat _cat_ cat_s at_sa|at_si t_sat|t_sit: 5 of 9."""
    prompts = [prompt("a", "The cat sat"), prompt("b", "the cat sit")]
    assert near_duplicates(prompts, [], 5 / 9) == {"b": "a"}
    assert near_duplicates(prompts, [], 0.56) == {}


def test_case_punctuation_and_a_shared_system_prompt_do_not_count() -> None:
    system = "You are a helpful assistant who answers at length and with care. " * 5
    assert near_duplicates([prompt("a", "Why? Because!"), prompt("b", "why because")], [], 1.0) == {"b": "a"}
    assert near_duplicates([prompt("a", BASE, system=system), prompt("b", OTHER, system=system)], [], 0.5) == {}


def test_a_held_out_prompt_wins_over_training_prompts() -> None:
    paired = [prompt("a", BASE), prompt("z", LIKE, "heldout")]
    assert near_duplicates(paired, paired[1:], 0.8) == {"a": "z"}


def test_a_training_prompt_like_a_held_out_one_without_a_pair_is_rejected() -> None:
    assert near_duplicates([prompt("a", BASE)], [prompt("z", LIKE, "heldout")], 0.8) == {"a": "z"}


def test_a_held_out_prompt_without_a_pair_takes_no_pair_away_from_another() -> None:
    evaluated = [prompt("a", BASE, "heldout"), prompt("b", LIKE, "heldout")]
    assert near_duplicates(evaluated[1:], evaluated, 0.8) == {}


def test_a_training_prompt_like_a_rejected_held_out_prompt_is_rejected() -> None:
    """a and b are alike, b and c are, a and c are not: b goes for a, and c still for b, which is evaluated."""
    words = BASE.split()
    texts = [" ".join([*words[:cut], *("later" for _ in words[cut:])]) for cut in (21, 19, 17)]
    heldout = [prompt("a", texts[0], "heldout"), prompt("b", texts[1], "heldout")]
    third = prompt("c", texts[2])
    assert near_duplicates([heldout[0], third], heldout[:1], 0.8) == {}
    assert near_duplicates([*heldout, third], heldout, 0.8) == {"b": "a", "c": "b"}
    # Among training prompts c stays, since the one it is like is gone.
    assert near_duplicates([prompt("a", texts[0]), prompt("b", texts[1]), third], [], 0.8) == {"b": "a"}


def test_drafts_of_one_prompt_are_no_duplicates_of_each_other() -> None:
    assert near_duplicates([prompt("a", BASE), prompt("a", BASE)], [], 0.8) == {}


def test_languages_without_spaces_and_prompts_without_words_are_told_apart() -> None:
    assert (
        near_duplicates([prompt("a", "今天天气很好我们去公园散步吧"), prompt("b", "请告诉我如何烤黑麦面包")], [], 0.5)
        == {}
    )
    assert near_duplicates(
        [prompt("a", "今天天气很好我们去公园散步吧"), prompt("b", "今天天气很好我们去公园散步")], [], 0.8
    )
    assert near_duplicates([prompt("a", "?"), prompt("b", "!"), prompt("c", "?")], [], 0.8) == {"c": "a"}


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_the_search_finds_what_comparing_all_with_all_finds(threshold: float) -> None:
    rng = random.Random(5)
    words = ["".join(rng.choices("abcdefghij", k=rng.randint(2, 8))) for _ in range(300)]
    prompts = [prompt("000", " ".join(rng.choices(words, k=40)))]
    for number in range(1, 200):
        changed = prompts[number // 8 * 8 - 1 if number % 8 else 0].messages[0]["content"].split()
        for _ in range(number % 5):
            changed[rng.randrange(len(changed))] = rng.choice(words)
        fresh = number % 8 == 7
        text = " ".join(rng.choices(words, k=40) if fresh else changed)
        prompts.append(prompt(f"{number:03}", text))
    found = near_duplicates(prompts, [], threshold)
    kept, expected = list[tuple[str, set[str]]](), dict[str, str]()
    for one in prompts:
        text = one.messages[0]["content"]
        runs = {text[start : start + 5] for start in range(len(text) - 4)}
        like = next((name for name, other in kept if len(runs & other) / len(runs | other) >= threshold), None)
        if like is None:
            kept.append((one.id, runs))
        else:
            expected[one.id] = like
    assert len(expected) > 30
    missed = [name for name, like in expected.items() if found.get(name) != like]
    assert len(missed) <= 0.02 * len(expected)
    assert set(found) <= set(expected) | set(missed)
