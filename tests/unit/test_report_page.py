"""The report page: what it says for a run, that it loads nothing, escapes all, and copes with half a run."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest
from records import make_pair, user

from raylign.config import load_config
from raylign.config.generation import FILTERS
from raylign.evaluate.rows import Answer
from raylign.judge import comparisons
from raylign.parts import PartWriter
from raylign.prompts import normalise
from raylign.records import Message, Pair, Prompt, content_id
from raylign.report.doubts import caveats, guard_rows, verdict
from raylign.report.format import clipped, duration, last_turn
from raylign.report.page import render, training_charts
from raylign.report.record import ExamplePair, RunRecord
from raylign.report.stage import write_report
from raylign.report.words import REASONS, headline, tiles
from raylign.revise import reasons as revise
from raylign.run_folder import RunFolder

HOSTILE = "<script>alert('x')</script> & <img src=x onerror=y>"
EVALUATE: dict[str, Any] = {
    "prompts": 40,
    "failed": 0,
    "tokens_base": 114.7,
    "tokens_aligned": 64.7,
    "change_percent": -43.6,
    "ci95": [-50.2, -36.9],
    "ended_within_limit": {"base": 0.95, "aligned": 1.0},
    "guards": {"empty_share": 0.0, "repeated_4grams": 0.01, "logprob_under_base": -1.3},
    "base_guards": {"empty_share": 0.0, "repeated_4grams": 0.08, "logprob_under_base": -0.4},
}
TRAIN: dict[str, Any] = {
    "objective": "apo_zero",
    "steps": 54,
    "loss_first": 1.0003,
    "loss_last": 0.2871,
    "heldout": {"pairs": 40, "reward_accuracy": 1.0, "reward_margin": 1.65},
}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A finished run whose prompts, answers, pairs and reasons all hold markup."""
    run = RunFolder.open(tmp_path / HOSTILE.replace("/", "")[:20], load_config(None, []), ["raylign", "loop", HOSTILE])
    prompts = [Prompt(content_id(index), user(f"{HOSTILE} {index}"), "heldout", "t") for index in range(7)]
    with PartWriter(run.stage("prompts"), Prompt) as writer:
        writer.add(prompts)
    pair = make_pair(f"{HOSTILE} chosen", f"{HOSTILE} rejected", prompt=user(HOSTILE), rationale=HOSTILE)
    with PartWriter(run.path / "pairs" / "train", Pair) as writer:
        writer.add([replace(pair, id=str(index)) for index in range(4)])
    with PartWriter(run.path / "evaluate" / "answers", Answer) as writer:
        for prompt in prompts:
            for side in ("base", "aligned"):
                text = f"{side} says {HOSTILE}"
                finish = "length" if side == "base" else "stop"
                row = (content_id(prompt.id, side), prompt.id, side, "w", "{}", text, 9, finish, "ok", "", 1)
                writer.add([Answer(*row)])
    for step in range(1, 6):
        run.log_metrics("train", step=step, loss=1.0 / step)
    run.finish("pairs", {"drafts": 6, "pairs": 4, "train": 4, "heldout": 0, "rejected": {HOSTILE: 2}}, 1.0)
    run.finish("train", TRAIN, 241.0)
    run.finish("evaluate", EVALUATE, 100.0)
    return run


class Elements(HTMLParser):
    """Collects what a browser would load or run, and the page's plain text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(page: str) -> Elements:
    found = Elements()
    found.feed(page)
    return found


def test_every_filter_is_put_in_words() -> None:
    assert set(FILTERS) <= set(REASONS)


def test_every_reason_of_every_source_is_put_in_words() -> None:
    reasons = {*get_args(normalise.Reason), *get_args(comparisons.Reason), *(reason.value for reason in revise.Reason)}
    assert reasons - {"ok", "stopped"} <= set(REASONS)
    assert {"tie", "position_bias", "not_judged", "not_revised", "duplicate", "other_prompt"} <= set(REASONS)


@pytest.mark.parametrize(
    ("source", "said", "unsaid"),
    [
        ("clair", ["Where the drafts went", "chosen · the revised answer", "Reviser template"], ["Judge"]),
        (
            "stronger",
            ["chosen · the stronger model’s answer", "Stronger model"],
            ["Reviser template", "revised answer"],
        ),
        ("judge", ["Where the prompts went", "chosen · the draft that the judge prefers", "Judge"], ["Reviser"]),
        ("offpolicy", ["Where the imported rows went", "Imported from", "old.jsonl"], ["Reviser", "revised answer"]),
    ],
)
def test_the_page_calls_the_parts_of_each_source_by_their_name(
    source: str, said: list[str], unsaid: list[str], tmp_path: Path
) -> None:
    pair = ExamplePair(user("Why?"), "Because of light.", "No idea.", "")
    config = {"pairs": {"source": source}, "offpolicy": {"path": "old.jsonl"}}
    done = {"pairs": {"pairs": 4, "train": 4, "heldout": 0, "rejected": {"tie": 2}}}
    page = render(RunRecord("run", config=config, done=done, pairs=[pair]))
    for words in said:
        assert words in page
    for words in unsaid:
        assert words not in page


def test_a_judges_position_bias_is_held_against_its_pairs() -> None:
    judge = {"judged_twice": 23, "position_bias": 0.087, "position_bias_ci95": [0.0242, 0.2679]}
    (found,) = caveats(RunRecord("run", done={"judge": judge}))
    assert "for 8.7% (95% interval 2.4% to 26.8%) of 23 prompts" in found
    assert caveats(RunRecord("run", done={"judge": judge | {"position_bias": None}})) == []


def test_page_of_a_whole_run_says_what_changed(folder: RunFolder) -> None:
    path = write_report(folder)
    assert path == folder.path / "report.html"
    page = read(path.read_text(encoding="utf-8"))
    text = " ".join(page.words)
    assert "43.6% shorter on 40 held-out prompts: 64.7 tokens on average instead of 114.7" in text
    assert "95% interval −50.2% to −36.9%" in text
    assert "No guard objects" in text
    assert text.count("9 tokens, cut at the limit") == 5
    assert text.count("chosen · the revised answer") == 3
    assert page.tags.count("svg") == 4  # the loss, and the pairs' three histograms
    assert "4 min 1 s" in text


def test_page_loads_nothing_and_runs_nothing(folder: RunFolder) -> None:
    page = write_report(folder).read_text(encoding="utf-8")
    found = read(page)
    assert found.addresses == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(found.tags)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert HOSTILE in " ".join(found.words)  # shown as the text it is


def test_every_prefix_of_a_run_has_a_page(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert "no pairs yet" in write_report(run).read_text(encoding="utf-8")
    run.finish("pairs", {"pairs": 5, "train": 4, "heldout": 1, "rejected": {"empty": 5}}, 1.0)
    half = " ".join(read(write_report(run).read_text(encoding="utf-8")).words)
    assert "5 preference pairs were made; no model has been trained" in half
    assert "the chosen answer is empty" in half
    run.finish("train", TRAIN, 1.0)
    assert "has not been compared" in write_report(run).read_text(encoding="utf-8")


def test_half_a_metrics_line_is_passed_over(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log_metrics("train", step=1, loss=1.0)
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"stage": "train", "step": 2, "lo')
    assert "Training loss" in write_report(run).read_text(encoding="utf-8")


def test_a_step_logged_again_after_a_restart_counts_once() -> None:
    metrics = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.9}, {"step": 2, "loss": 0.5}]
    (chart,) = training_charts(metrics)
    assert chart.drawing.count("<circle") == 2
    assert "loss at 2: 0.5" in chart.drawing


def test_headline_calls_no_change_when_the_interval_holds_zero() -> None:
    evaluate = EVALUATE | {"change_percent": -3.0, "ci95": [-9.0, 2.5]}
    assert headline(RunRecord("r", done={"evaluate": evaluate})).startswith("No clear change in answer length")


def test_headline_without_an_interval_says_why() -> None:
    evaluate = EVALUATE | {"prompts": 1, "ci95": None}
    assert "too few prompts for an interval" in headline(RunRecord("r", done={"evaluate": evaluate}))


def test_reward_accuracy_comes_with_its_interval() -> None:
    """40 of 40: Wilson's interval goes down to 91%."""
    (accuracy,) = [tile for tile in tiles(RunRecord("r", done={"train": TRAIN})) if tile.label == "Reward accuracy"]
    assert (accuracy.value, accuracy.note) == ("100%", "of 40 held-out pairs; 95% interval 91 to 100%")


@pytest.mark.parametrize(
    ("key", "value", "flagged"),
    [
        ("empty_share", 0.02, False),
        ("empty_share", 0.05, True),
        ("repeated_4grams", 0.08, False),
        ("repeated_4grams", 0.09, True),
        ("logprob_under_base", -2.3, False),
        ("logprob_under_base", -8.0, True),
    ],
)
def test_guards_flag_a_broken_model(key: str, value: float, flagged: bool) -> None:
    evaluate = EVALUATE | {"guards": EVALUATE["guards"] | {key: value}}
    rows = guard_rows(evaluate)
    assert [row.fine for row in rows].count(False) == int(flagged)
    assert verdict(rows).startswith("Guards to look at" if flagged else "No guard objects")


def test_a_missing_guard_is_no_praise() -> None:
    rows = guard_rows(EVALUATE | {"guards": EVALUATE["guards"] | {"logprob_under_base": None}})
    assert "no figure for: log-probability under base" in verdict(rows)


def test_caveats_name_what_weakens_the_figures() -> None:
    evaluate = EVALUATE | {"failed": 3, "ended_within_limit": {"base": 0.6, "aligned": 1.0}}
    train = TRAIN | {"dropped": {"too_long": 2}, "truncated": 3}
    found = " ".join(caveats(RunRecord("r", done={"evaluate": evaluate, "train": train})))
    for words in (
        "Only 40 held-out prompts",
        "3 requests",
        "40% of the base model",
        "only 40 held-out pairs",
        "2 pairs",
        "3 pairs were trained on with the beginning of their prompt cut off",
    ):
        assert words in found


def test_an_address_with_a_credential_is_not_shown() -> None:
    config = {"model": "m", "revise": {"model": "editor", "base_url": "https://me:sk-secret@api.example.com/v1"}}
    page = render(RunRecord("r", config=config))
    assert "editor at api.example.com" in page
    assert "sk-secret" not in page


def test_texts_and_times_are_shortened_for_reading() -> None:
    assert clipped("a" * 1600) == "a" * 1500 + " … (100 more characters)"
    assert last_turn([*user("one"), Message(role="assistant", content="two"), *user("three")]) == (
        "[after 2 earlier turns] three"
    )
    assert [duration(value) for value in (0.4, 48, 200, 7500)] == ["0 s", "48 s", "3 min 20 s", "2 h 5 min"]
