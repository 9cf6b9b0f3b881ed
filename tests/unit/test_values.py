"""Index values: what is stored of an element and what a query's value becomes (`shared/dicom/values.py`)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.values import LENGTHS, cut, earliest, fold, index_value, latest, name_words, words


@pytest.mark.parametrize(
    ("value", "vr", "folded"),
    [
        ("Chest CT", "LO", "chest ct"),
        ("abc\0", "LO", "abc"),
        ("abc \0 ", "SH", "abc"),
        ("  abc", "LO", "abc"),
        ("MÜLLER", "LO", "müller"),
        ("Mu\u0308ller", "LO", "müller"),
        ("MÜLLER^José", "PN", "muller^jose"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "PN", "yamada^tarou=山田^太郎=やまだ^たろう"),
        ("がとう", "PN", "がとう"),
        ("김희중", "PN", "김희중"),
        ("Doe^John^^^ ", "PN", "doe^john"),
        ("Doe ^ John==", "PN", "doe^john"),
        ("1.2.3 ", "UI", "1.2.3"),
    ],
)
def test_fold(value: str, vr: str, folded: str) -> None:
    """Padding goes, case is ignored, accents only in names, and marks of other scripts are letters."""
    assert fold(value, vr) == folded


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["PN", "LO", "SH", "CS", "UI"]))
def test_fold_twice(value: str, vr: str) -> None:
    """What is folded stays as it is, so that stored and asked values meet however often they were folded."""
    once = fold(value, vr)

    assert fold(once, vr) == once


@pytest.mark.parametrize(
    ("element", "vr", "expected"),
    [
        (None, "LO", None),
        ({"vr": "LO"}, "LO", None),
        ({"vr": "LO", "Value": []}, "LO", None),
        ({"vr": "LO", "Value": [None, "b"]}, "LO", None),
        ({"vr": "LO", "Value": ["  \0"]}, "LO", None),
        ({"vr": "LO", "Value": ["A", "B"]}, "LO", "a"),
        ({"vr": "LO", "Value": [5]}, "LO", None),
        ({"vr": "PN", "Value": [{"Alphabetic": "Doe^J"}]}, "PN", "doe^j"),
        ({"vr": "PN", "Value": [{"Ideographic": "山田"}]}, "PN", "=山田"),
        ({"vr": "PN", "Value": [{"Alphabetic": "A", "Ideographic": "B", "Phonetic": "C"}]}, "PN", "a=b=c"),
        ({"vr": "PN", "Value": [{}]}, "PN", None),
        ({"vr": "DA", "Value": ["20240229"]}, "DA", "20240229"),
        ({"vr": "DA", "Value": ["20230229"]}, "DA", None),
        ({"vr": "DA", "Value": ["2024.02.29"]}, "DA", None),
        ({"vr": "TM", "Value": ["10"]}, "TM", "100000.000000"),
        ({"vr": "TM", "Value": ["10:15:30"]}, "TM", "101530.000000"),
        ({"vr": "TM", "Value": ["101530.5 "]}, "TM", "101530.500000"),
        ({"vr": "TM", "Value": ["2460"]}, "TM", None),
        ({"vr": "DT", "Value": ["2024"]}, "DT", "20240101000000.000000"),
        ({"vr": "DT", "Value": ["20240229101530.25-0500"]}, "DT", "20240229101530.250000"),
        ({"vr": "DT", "Value": ["20241301"]}, "DT", None),
        ({"vr": "IS", "Value": [3]}, "IS", 3),
        ({"vr": "IS", "Value": ["0003 "]}, "IS", 3),
        ({"vr": "IS", "Value": ["3.5"]}, "IS", None),
        ({"vr": "IS", "Value": [2**31]}, "IS", None),
        ({"vr": "FD", "Value": [1.5]}, "FD", 1.5),
        ({"vr": "FD", "Value": ["NaN"]}, "FD", None),
        ({"vr": "UL", "Value": [2**32 - 1]}, "UL", 2**32 - 1),
        ({"vr": "UI", "Value": ["1.2.3\0"]}, "UI", "1.2.3"),
    ],
)
def test_index_value(element: dict[str, Any] | None, vr: str, expected: str | float | None) -> None:
    """Only the first value is indexed, normalized for its VR; absent, empty and invalid values are not."""
    assert index_value(element, vr) == expected


@pytest.mark.parametrize("char", ["x", "é", "山", "\U00020000", "İ"])
@pytest.mark.parametrize("vr", ["LO", "PN", "SH", "CS"])
def test_index_value_length(char: str, vr: str) -> None:
    """An index value never takes more UTF-16 units than its column has."""
    value = index_value({"vr": vr, "Value": [char * 1000]}, vr)

    assert isinstance(value, str)
    assert 0 < len(value.encode("utf-16-le")) // 2 <= LENGTHS[vr]


def test_cut_pair() -> None:
    """A character of two UTF-16 units is never cut in half."""
    assert cut("a\U00020000", 2) == "a"


@pytest.mark.parametrize(
    ("value", "vr", "first", "last"),
    [
        ("10", "TM", "100000.000000", "105959.999999"),
        ("1015", "TM", "101500.000000", "101559.999999"),
        ("101530", "TM", "101530.000000", "101530.999999"),
        ("101530.5", "TM", "101530.500000", "101530.599999"),
        ("235960", "TM", "235960.000000", "235960.999999"),
        ("20240102", "DA", "20240102", "20240102"),
        ("2024", "DT", "20240101000000.000000", "20241231235959.999999"),
        ("202402", "DT", "20240201000000.000000", "20240231235959.999999"),
        ("2024010203", "DT", "20240102030000.000000", "20240102035959.999999"),
        ("1", "TM", None, None),
        ("106", "TM", None, None),
        ("1060", "TM", None, None),
        ("101530.", "TM", None, None),
        ("\u0661\u0660", "TM", None, None),
        ("2024", "DA", None, None),
        ("20240230", "DA", None, None),
        ("20240102+0100", "DT", None, None),
        ("0000", "DT", None, None),
    ],
)
def test_moments(value: str, vr: str, first: str | None, last: str | None) -> None:
    """A value of less precision spans all the moments it may mean (PS3.5 §6.2)."""
    assert (earliest(value, vr), latest(value, vr)) == (first, last)


def test_name_words() -> None:
    """`^`, `=` and blanks part the words of a name; positions count through all groups."""
    element = {"vr": "PN", "Value": [{"Alphabetic": "Van Gogh^José^^Dr", "Ideographic": "山田^太郎"}]}

    assert name_words(element) == [(0, "van"), (1, "gogh"), (2, "jose"), (3, "dr"), (4, "山田"), (5, "太郎")]


@pytest.mark.parametrize("element", [None, {"vr": "PN"}, {"vr": "PN", "Value": [{"Alphabetic": "^^"}]}])
def test_name_words_empty(element: dict[str, Any] | None) -> None:
    """A name without letters has no words."""
    assert name_words(element) == []


def test_words_of_query() -> None:
    """A query's folded value is cut into words like a stored name."""
    assert words(fold("JO^ Do", "PN")) == [(0, "jo"), (1, "do")]
