"""Is `raylign train --recommend` right? Ten constructed cases, whose truth is known, and the real off-policy pairs.

The bundled model answers questions that have a rule for a right answer: easy sums, capitals, a sentence with two given
words, and products that it cannot do. Chosen and rejected answers are written so that by this rule the chosen ones are
better than the model's own (truth: apo_zero) or worse (apo_down). The judge is an HTTP provider that scores by the
rule. A case counts as right where the recommendation is its truth; undecided is wrong. Each case also shows how often
own and chosen answers are right by the rule, and what likelihood alone would have said.
"""

import json
import random
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import ROOT, at_least, finish, local_ray, options
from provider import Provider
from records import make_pair, user

from raylign.config import LoopConfig, load_config
from raylign.pairs import stage as pairs_stage
from raylign.parts import PartWriter, read_records
from raylign.prompts.normalise import prompt_id
from raylign.recommend.evidence import Estimate, Likelihood, decide
from raylign.recommend.stage import of_recommending, recommend
from raylign.records import Draft, Message, Pair, Prompt
from raylign.run_folder import RunFolder
from raylign.sample import stage as sample_stage
from raylign.screen import Screen

DAVINCI = ROOT.parent / "shared" / "data" / "davinci_pairs.jsonl"
COUNTRIES = (
    "France Paris, Italy Rome, Spain Madrid, Germany Berlin, Japan Tokyo, China Beijing, Russia Moscow, Egypt Cairo, "
    "Greece Athens, Poland Warsaw, Austria Vienna, Portugal Lisbon, Ireland Dublin, Norway Oslo, Sweden Stockholm, "
    "Finland Helsinki, Denmark Copenhagen, Hungary Budapest, Turkey Ankara, Iran Tehran, Iraq Baghdad, Cuba Havana, "
    "Peru Lima, Chile Santiago, Canada Ottawa, Kenya Nairobi, Thailand Bangkok, Vietnam Hanoi, "
    "Romania Bucharest, Bulgaria Sofia, Serbia Belgrade, Croatia Zagreb, Ukraine Kyiv, Belgium Brussels, "
    "Netherlands Amsterdam, England London, Scotland Edinburgh, Argentina Buenos, Colombia Bogot, Syria Damascus, "
    "Lebanon Beirut, Nepal Kathmandu, Jamaica Kingston, Ethiopia Addis, Ghana Accra, Indonesia Jakarta, Cambodia Phnom"
)
_DIFFERENCES = ("chosen_over_rejected", "own_over_chosen", "own_over_rejected")
WORDS = (
    *("river", "stone", "lamp", "garden", "winter", "bread", "clock", "window"),
    *("paper", "music", "cloud", "horse", "bridge", "candle", "letter", "mountain"),
)


@dataclass(frozen=True)
class Question:
    """A prompt, what a right answer must contain, and the same of another question, which is wrong here."""

    prompt: str
    needed: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def messages(self) -> list[Message]:
        """The prompt as a conversation."""
        return user(self.prompt)

    def right(self, answer: str) -> bool:
        """The rule."""
        return all(
            re.search(rf"\b{re.escape(part)}(?!\d)", answer.replace(",", ""), re.IGNORECASE) for part in self.needed
        )


Writer = Callable[[Question, str], str]
"""Writes a side of a pair from the question and the model's own answer."""


@dataclass(frozen=True)
class Case:
    """Pairs whose truth is known by how they are written."""

    name: str
    truth: str
    about: str
    chosen: Writer
    rejected: Writer
    judged: bool = True
    target_model: str = "another model"


def questions(count: int) -> dict[str, list[Question]]:
    """So many questions of each kind."""
    draw = random.Random(0)
    capitals = [tuple(text.split()) for text in COUNTRIES.split(", ")]
    return {
        "sums": [_sum(a, b) for a in range(2, 10) for b in range(2, 8)][:count],
        "products": [_product(draw.randint(23, 98), draw.randint(23, 98)) for _ in range(count)],
        "capitals": [
            Question(f"What is the capital of {land}?", (city,), (capitals[at - 1][1],))
            for at, (land, city) in enumerate(capitals)
        ][:count],
        "words": [_words(*draw.sample(WORDS, 4)) for _ in range(count)],
    }


def _sum(a: int, b: int) -> Question:
    return Question(f"What is {a} + {b}? Answer with the number.", (str(a + b),), (str(a + b + 10),))


def _product(a: int, b: int) -> Question:
    return Question(f"What is {a} × {b}? Answer with the number.", (str(a * b),), (str(a * b + 10),))


def _words(a: str, b: str, c: str, d: str) -> Question:
    return Question(f"Write one sentence with the words {a} and {b} in it.", (a, b), (c, d))


def _right(question: Question, own: str) -> str:
    return f"The answer is {' and '.join(question.needed)}."


def _wrong(question: Question, own: str) -> str:
    return f"The answer is {' and '.join(question.others)}."


def _terse(question: Question, own: str) -> str:
    return " ".join(question.needed)


def _wordy_wrong(question: Question, own: str) -> str:
    return f"I have thought about this with great care, and I am glad to say that it is {' '.join(question.others)}."


def _silent(question: Question, own: str) -> str:
    return "I do not know, and I do not care."


def _own(question: Question, own: str) -> str:
    return own


def _mostly_wrong(question: Question, own: str) -> str:
    return (_right if sum(map(ord, question.prompt)) % 10 == 0 else _wrong)(question, own)


CASES = (
    Case("right products", "apo_zero", "products", _right, _wrong),
    Case("right products, tersely, against wordy ones", "apo_zero", "products", _terse, _wordy_wrong),
    Case("right words against none", "apo_zero", "words", _right, _silent),
    Case("revisions of own answers, no judge", "apo_zero", "words", _right, _own, False, "bundled"),
    Case("unlike answers, like rejected ones, no judge", "apo_zero", "products", _terse, _own, False),
    Case("wrong capitals against silence", "apo_down", "capitals", _wrong, _silent),
    Case("wordy wrong capitals against wrong ones", "apo_down", "capitals", _wordy_wrong, _wrong),
    Case("mostly wrong capitals", "apo_down", "capitals", _mostly_wrong, _silent),
    Case("wrong sums against silence", "apo_down", "sums", _wrong, _silent),
    Case("other words than asked for", "apo_down", "words", _wrong, _silent),
)


def rule_judge(rules: dict[str, Question]) -> Callable[[list[dict[str, str]]], str]:
    """A judge that prefers the answer that is right by the question's rule."""

    def reply(messages: list[dict[str, str]]) -> str:
        shown = dict(re.findall(r"<(task|answer_a|answer_b)>\n(.*?)\n</\1>", messages[1]["content"], re.DOTALL))
        question = rules[shown["task"]]
        a, b = question.right(shown["answer_a"]), question.right(shown["answer_b"])
        return f"Verdict: {'tie' if a == b else 'A' if a else 'B'}"

    return reply


def pair(case: Case, number: int, question: Question, own: str) -> Pair:
    """A pair of the case."""
    return make_pair(
        case.chosen(question, own),
        case.rejected(question, own),
        id=f"{case.name} {number}",
        prompt=question.messages,
        target_model=case.target_model,
    )


def sampled(config: LoopConfig, asked: list[Question], folder: RunFolder, screen: Screen) -> dict[str, Draft]:
    """The model's own answer to every question, by prompt id."""
    prompts = [Prompt(prompt_id(one.messages), one.messages, "train", "constructed") for one in asked]
    with PartWriter(folder.stage("prompts"), Prompt) as writer:
        writer.add(prompts)
    sample_stage.run(config, folder, screen)
    return {draft.prompt_id: draft for draft in read_records(folder.path / "drafts", Draft)}


def run_case(
    case: Case,
    asked: list[Question],
    drafts: dict[str, Draft],
    config: LoopConfig,
    folder: RunFolder,
    screen: Screen,
) -> dict[str, Any]:
    """Recommend for the case's pairs in a folder that holds the model's answers already."""
    own = [drafts[prompt_id(one.messages)] for one in asked]
    pairs = [pair(case, number, one, own[number].answer) for number, one in enumerate(asked)]
    with PartWriter(folder.stage("pairs") / "train", Pair) as writer:
        writer.add(pairs)
    with PartWriter(folder.stage("recommend") / "sample" / "drafts", Draft) as writer:
        writer.add(own)
    config = of_recommending(config, folder.path / "pairs")
    if not case.judged:
        config.revise.base_url = None
    lines = recommend(config, RunFolder(folder.path / "recommend"), screen)
    found = json.loads((folder.path / "recommend" / "recommendation.json").read_text())
    likelihood = found["likelihood"]
    estimates = {name: Estimate(**likelihood.pop(name)) for name in _DIFFERENCES}
    return {
        "case": case.name,
        "truth": case.truth,
        "recommended": found["objective"],
        "basis": found["basis"],
        "own_right": sum(one.right(draft.answer) for one, draft in zip(asked, own, strict=True)) / len(asked),
        "chosen_right": sum(one.right(row.chosen[0]["content"]) for one, row in zip(asked, pairs, strict=True))
        / len(asked),
        "by_likelihood_alone": decide(Likelihood(**likelihood, **estimates), None, False).objective,
        "lines": lines,
    }


def off_policy(config: LoopConfig, folder: RunFolder, screen: Screen) -> list[str]:
    """What is said of the real off-policy pairs, without a judge."""
    config.pairs.source, config.offpolicy.path, config.revise.base_url = "offpolicy", str(DAVINCI), None
    config.sample.max_tokens = 96
    pairs_stage.run(config, folder, screen)
    folder.stage("recommend")
    config = of_recommending(config, folder.path / "pairs")
    return recommend(config, RunFolder(folder.path / "recommend"), screen)


def main() -> None:
    """Run the cases, then the real pairs."""
    arguments = options(__doc__)
    kinds = questions(16 if arguments.quick else 48)
    rules = {one.prompt: one for asked in kinds.values() for one in asked}
    cases = CASES[::3] if arguments.quick else CASES
    rows: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory(prefix="raylign-benchmark-") as place,
        Screen.quieten(Path(place) / "driver.log") as screen,
        local_ray(),
        Provider(reply=rule_judge(rules)) as provider,
    ):
        own = RunFolder(Path(place) / "own")
        drafts = sampled(configuration(provider.url), list(rules.values()), own, screen)
        for number, case in enumerate(cases):
            folder = folder_at(place, number)
            row = run_case(case, kinds[case.about], drafts, configuration(provider.url), folder, screen)
            rows.append(row)
            screen.say(json.dumps({name: value for name, value in row.items() if name != "lines"}))
        real: list[str] = []
        if DAVINCI.exists() and not arguments.quick:
            real = off_policy(configuration(provider.url), folder_at(place, "davinci"), screen)
    print("\n".join(real))
    right = sum(row["recommended"] == row["truth"] for row in rows)
    bar = 9 if len(cases) == len(CASES) else len(cases)
    finish(arguments, [at_least(f"cases right of {len(cases)}", right, bar)], {"cases": rows, "off_policy": real})


def configuration(url: str) -> LoopConfig:
    """The configuration of every case; the judge answers at this URL."""
    settings = ["sample.max_tokens=64", "revise.model=editor", "revise.actors_max=1", "revise.max_tokens=16"]
    return load_config(None, [*settings, f"revise.base_url={url}"])


def folder_at(place: str, name: object) -> RunFolder:
    """A run folder for one case."""
    path = Path(place) / str(name)
    path.mkdir()
    return RunFolder(path)


if __name__ == "__main__":
    main()
