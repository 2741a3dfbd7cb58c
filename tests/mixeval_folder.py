"""A small folder with MixEval's layout, of questions written for the tests."""

import json
from pathlib import Path
from typing import Any

PASSAGE = "The reading room has 40 seats. On Monday 25 readers came, and on Tuesday 31."


def free_form() -> dict[str, dict[str, Any]]:
    """Five questions, two of them on the same passage."""
    return {
        "0": _free("How many readers came on both days together?", ["56"], "DROP", PASSAGE),
        "1": _free("How many seats were free on Monday?", ["15", "fifteen"], "DROP", PASSAGE),
        "2": _free("Which planet is called the red one?", ["Mars", "Planet Mars"], "TriviaQA"),
        "3": _free("What is 12 times 12?", ["12 × 12 is a square.\n#### 144"], "GSM8k"),
        "4": _free("Write 0.5 as a fraction.", ["\\dfrac{1}{2}"], "MATH"),
    }


def multiple_choice() -> dict[str, dict[str, Any]]:
    """Five questions, one of them with letters written into its options."""
    return {
        "0": _choice("Which of these is a metal?", ["Iron", "Oak", "Wool", "Clay"], 0, "MMLU"),
        "1": _choice("Which is even?", ["(A)three", "(B)four"], 1, "AGIEval"),
        "2": _choice("Is ice colder than steam?", ["No", "Yes"], 1, "BoolQ", "Water freezes at 0 degrees."),
        "3": _choice("Where does a book stand?", ["shelf", "river", "cloud"], 0, "CommonsenseQA"),
        "4": _choice("Which is largest?", [str(number) for number in range(10)], 9, "MMLU-Pro"),
    }


def write_mixeval(folder: Path, split: str = "mixeval") -> Path:
    """The folder of a version, with one split in it."""
    place = folder / split
    place.mkdir(parents=True)
    (place / "free-form.json").write_text(json.dumps(free_form()), encoding="utf-8")
    (place / "multiple-choice.json").write_text(json.dumps(multiple_choice()), encoding="utf-8")
    return folder


def _free(prompt: str, target: list[str], benchmark: str, context: str | None = None) -> dict[str, Any]:
    return {
        "problem_type": "free-form",
        "context": context,
        "prompt": prompt,
        "target": target,
        "benchmark_name": benchmark,
    }


def _choice(prompt: str, options: list[str], target: int, benchmark: str, context: str | None = None) -> dict[str, Any]:
    found = _free(prompt, [], benchmark, context)
    return found | {"problem_type": "multiple-choice", "options": options, "target": [target]}
