"""The summary holds the figures people compare, for as many stages as have run."""

from typing import Any

import pytest

from raylign.summary import in_words, summarise

DONE: dict[str, dict[str, Any]] = {
    "prompts": {"prompts": 10, "train": 8, "seconds": 0.1},
    "sample": {"drafts": 10, "status": {"ok": 10}, "seconds": 20.0},
    "revise": {"revisions": 10, "seconds": 30.0},
    "pairs": {"source": "clair", "candidates": 10, "pairs": 7, "rejected": {"too_long": 2, "empty": 1}, "seconds": 0.2},
    "train": {
        "objective": "apo_zero + 0.5·sft",
        "steps": 2,
        "loss_first": 1.0,
        "loss_last": 0.8,
        "heldout": {"pairs": 2, "reward_accuracy": 1.0, "reward_margin": 0.4, "logps_chosen": -3.0},
        "seconds": 40.0,
    },
    "evaluate": {
        "prompts": 2,
        "tokens_base": 100.0,
        "tokens_aligned": 60.0,
        "change_percent": -40.0,
        "ci95": [-50.0, -30.0],
        "guards": {"empty_share": 0.0, "repeated_4grams": 0.01, "logprob_under_base": -1.2},
        "base_guards": {"empty_share": 0.0, "repeated_4grams": 0.02, "logprob_under_base": -0.4},
        "failed": 0,
        "seconds": 50.0,
    },
}


def test_the_whole_loop() -> None:
    summary = summarise(DONE)
    assert summary["prompts"] == summary["drafts"] == summary["pairs"] + sum(summary["rejected"].values())
    assert summary["train"] == {
        "objective": "apo_zero + 0.5·sft", "steps": 2, "loss_first": 1.0, "loss_last": 0.8,
    }  # fmt: skip
    assert summary["heldout"] == {"pairs": 2, "reward_accuracy": 1.0, "reward_margin": 0.4}
    assert summary["evaluate"]["ci95"] == [-50.0, -30.0]
    assert "seconds" not in summary["evaluate"]
    assert list(summary["seconds"]) == list(DONE)


def test_a_run_that_only_made_pairs() -> None:
    summary = summarise({name: DONE[name] for name in ("prompts", "sample", "revise", "pairs")})
    assert "train" not in summary
    assert "evaluate" not in summary
    assert any("7 from 10 drafts; 3 rejected" in line for line in in_words(summary))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("stronger", "from 10 drafts"),
        ("judge", "from 10 prompts"),
        ("offpolicy", "from 10 imported rows"),
    ],
)
def test_words_call_the_candidates_of_each_source_by_their_name(source: str, words: str) -> None:
    summary = summarise({"pairs": DONE["pairs"] | {"source": source}})
    assert summary["source"] == source
    assert words in in_words(summary)[0]


def test_a_judges_position_bias_is_told_with_its_interval() -> None:
    judge = {
        "comparisons": 48, "status": {"ok": 46}, "verdicts": {"first": 24, "second": 21, "tie": 1}, "judged_twice": 23,
        "position_bias": 0.087, "position_bias_ci95": [0.0242, 0.2679], "seconds": 9.0,
    }  # fmt: skip
    summary = summarise({"judge": judge})
    assert summary["judge"]["verdicts"] == {"first": 24, "second": 21, "tie": 1}
    assert in_words(summary) == [
        "judge     named the same place in both orders for 9% (95% interval 2% to 27%) of 23 prompts"
    ]
    unread = judge | {"judged_twice": 0, "position_bias": None, "position_bias_ci95": None}
    assert in_words(summarise({"judge": unread})) == []


def test_words_say_what_was_trained_on_and_how_the_held_out_pairs_fared() -> None:
    lines = in_words(summarise(DONE))
    assert "train     apo_zero + 0.5·sft, 2 steps, loss 1.000 to 0.800" in lines
    assert "held out  2 pairs: reward accuracy 1.00, margin 0.40" in lines


def test_words_of_a_run_on_single_answers_leave_out_what_takes_pairs() -> None:
    train = DONE["train"] | {"heldout": {"pairs": 2, "reward_margin": 0.4}}
    assert "held out  2 pairs: margin 0.40" in in_words(summarise({"train": train}))
    assert "held out  0 pairs" in in_words(summarise({"train": train | {"heldout": {"pairs": 0}}}))


def test_words_carry_the_interval() -> None:
    text = "\n".join(in_words(summarise(DONE)))
    assert "-40.0% (95% interval -50.0 to -30.0) on 2 prompts" in text
    assert "repeated_4grams 0.010 (base 0.020)" in text
