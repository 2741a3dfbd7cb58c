"""Sets of ids in arrays say the same as Python's own sets, also where halves of ids collide."""

import pyarrow as pa
import pytest

from raylign.ids import IdSet
from raylign.records import content_id


def test_membership_equals_a_python_set() -> None:
    ids = [content_id("x", number) for number in range(3000)]
    some = IdSet([ids[0:900:3], pa.chunked_array([ids[1:900:3], []])])
    expected = {*ids[0:900:3], *ids[1:900:3]}
    assert len(some) == 600
    assert some.contains(ids).tolist() == [id_ in expected for id_ in ids]
    assert some.contains(pa.chunked_array([ids])).tolist() == [id_ in expected for id_ in ids]


def test_ids_with_the_same_half_are_told_apart() -> None:
    """Sixteen digits in common in front, or behind, is not the same id; digits have one order in memory and in text."""
    first, second = "ab" * 8, "01" * 8
    some = IdSet([[first + second, first + "f" * 16, first + "0" * 16]])
    asked = [first + second, first + "f" * 16, first + "0" * 16, first + "2" * 16, second + second, "f" * 32]
    assert some.contains(asked).tolist() == [True, True, True, False, False, False]


def test_nothing_is_in_an_empty_set_and_nothing_asks_nothing() -> None:
    assert IdSet().contains(["0" * 32]).tolist() == [False]
    assert IdSet([["0" * 32]]).contains([]).tolist() == []


def test_an_id_of_another_form_is_an_error() -> None:
    with pytest.raises(ValueError, match="32 hexadecimal"):
        IdSet([["short"]])
