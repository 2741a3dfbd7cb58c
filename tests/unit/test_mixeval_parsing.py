"""Which option or answer a reply settles on: many spellings are read, and what leaves a doubt is not."""

import pytest

from raylign.evaluate.suites.mixeval.answers import score_answer
from raylign.evaluate.suites.mixeval.choices import read_choice
from raylign.evaluate.suites.mixeval.verdicts import read_option, read_score

OPTIONS = ["Iron", "Oak wood", "Wool", "Clay"]


@pytest.mark.parametrize(
    "answer",
    [
        "B",
        "b",
        "(B)",
        "B.",
        "**B**",
        "[B]",
        "`B`",
        " B \n",
        "Option B",
        "Answer: B",
        "answer: **B**",
        "Answer: (B) Oak wood",
        "**Answer:** B",
        "Answer: $\\boxed{B}$",
        "The answer is B.",
        "The answer is (B).",
        "The correct answer is B: Oak wood.",
        "The correct option is **B**, because trees are wood.",
        "The best choice would be B.",
        "I would choose B.",
        "I think it is one of the plants. So I'd go with option B.",
        "(B) is the correct answer.",
        "B is correct.",
        "B) Oak wood",
        "B. Oak wood is a plant.",
        "B: Oak wood",
        "**B. Oak wood**",
        "(B) because it once was alive.",
        "Oak wood",
        "oak wood.",
        "The answer is Oak wood.",
        "It must be oak wood, since trees are plants.",
        "Let us think. Iron is a metal. Clay is earth.\n\nAnswer: B",
        "A is a metal. D is earth.\nFinal answer: B",
        "The answer is A? Let me check again.\nThe final answer is B.",
        "First I thought the answer is A.\nAnswer: B",
        "\\boxed{\\text{B}}",
        "Reasoning about it:\n\n**B**",
        "Thinking aloud… the final answer is $\\boxed{B}$.",
    ],
)
def test_spellings_of_a_choice_are_read(answer: str) -> None:
    assert read_choice(answer, OPTIONS) == "B"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   ",
        "E",
        "Answer: E",
        "A or B",
        "A and B",
        "Answer: A or B",
        "The answer is A, B",
        "The answer is a metal.",
        "The answer is a plant that grows on land",
        "I do not know.",
        "I cannot tell which of these is right.",
        "The answer is not B.",
        "It is not oak wood.",
        "Iron and clay are both possible.",
        "A) Iron\nB) Oak wood\nC) Wool\nD) Clay",
        "The answer is A. On second thoughts the answer is B.",
        "None of the above.",
        "A metal is hard.",
        "Answer: none of them",
        "All of the above",
        "B) Iron",
        "Both, I think.",
    ],
)
def test_what_leaves_a_doubt_is_not_read(answer: str) -> None:
    assert read_choice(answer, OPTIONS) is None


def test_an_options_text_inside_another_ones_says_little() -> None:
    options = ["blood", "red blood cells", "bone"]
    assert read_choice("That would be red blood cells I suppose", options) is None
    assert read_choice("blood", options) == "A"
    assert read_choice("It is found in every bone of the body", options) == "C"


def test_letters_beyond_d_are_read_where_there_are_options() -> None:
    options = [f"option number {number}" for number in range(10)]
    assert read_choice("The answer is J.", options) == "J"
    assert read_choice("The answer is I think unclear", options) is None
    assert read_choice("The answer is K.", options) is None


@pytest.mark.parametrize(
    ("answer", "targets", "score"),
    [
        ("Mars", ["Mars"], 1.0),
        ("mars.", ["Mars"], 1.0),
        ("The Planet Mars", ["Mars", "Planet Mars"], 1.0),
        ("Answer: Mars", ["Mars"], 1.0),
        ("It is red because of rust, as everyone who looks up at night can see.\n**Answer:** Mars", ["Mars"], 1.0),
        ("Venus", ["Mars"], 0.0),
        ("Answer: Venus", ["Mars"], 0.0),
        ("Not Mars", ["Mars"], 0.0),
        ("144", ["12 × 12 is a square.\n#### 144"], 1.0),
        ("So 12 · 12 = 144 and that is what was asked for in this question.\n#### 144", ["#### 144"], 1.0),
        ("1,440", ["1440"], 1.0),
        ("1440.0", ["1,440"], 1.0),
        ("$20", ["20"], 1.0),
        ("20 points", ["20"], 1.0),
        ("144", ["145"], 0.0),
        ("-4", ["4"], 0.0),
        ("$\\boxed{\\frac{1}{2}}$", ["\\dfrac{1}{2}"], 1.0),
        ("362,880", ["362,\\!880"], 1.0),
        ("The answer is 15 or so, but it could well be 16, one cannot tell from this", ["16"], 0.0),
        ("", ["Mars"], None),
        ("There are several planets that one may think of, among them Mars, Venus and also Mercury.", ["Mars"], None),
    ],
)
def test_free_form_answers_are_compared_by_what_they_settle_on(
    answer: str, targets: list[str], score: float | None
) -> None:
    assert score_answer(answer, targets) == score


@pytest.mark.parametrize(
    ("reply", "is_read", "said"),
    [
        ("Option: B", True, "B"),
        ("It settles on the second.\n**Option: b**", True, "B"),
        ("Option: none", True, None),
        ("Option: E", False, None),
        ("B", False, None),
        ("Option: A\nOption: B", False, None),
        ("Option: B\nI hope this helps.", False, None),
        ("", False, None),
    ],
)
def test_a_judges_option_is_read_or_not(reply: str, is_read: bool, said: str | None) -> None:
    found = read_option(reply, "ABCD")
    assert (found.is_read, found.said) == (is_read, said)


@pytest.mark.parametrize(
    ("reply", "is_read", "said"),
    [
        ("Score: 1.0", True, "1.0"),
        ("Right in part.\nScore: 0.5", True, "0.5"),
        ("**Score:** 1", True, "1"),
        ("Score: 0.7/1.0", True, "0.7"),
        ("Score: none", True, None),
        ("Score: 7", False, None),
        ("Score: -1", False, None),
        ("0.5", False, None),
        ("Score: 0.5\nScore: 1.0", False, None),
    ],
)
def test_a_judges_score_is_read_or_not(reply: str, is_read: bool, said: str | None) -> None:
    found = read_score(reply)
    assert (found.is_read, found.said) == (is_read, said)
