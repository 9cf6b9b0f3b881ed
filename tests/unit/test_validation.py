"""Required attributes and UIDs (`shared/dicom/validation.py`; store.md, "Required attributes")."""

from typing import Any

import pytest

from shared.dicom.attributes import tag_of
from shared.dicom.validation import empty_patient_id, is_uid, missing_or_invalid, uid_value

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_PATIENT_ID = "00100020"

GOOD = {tag_of(keyword): {"vr": "UI", "Value": ["1.2.3"]} for keyword in _UIDS} | {
    _PATIENT_ID: {"vr": "LO", "Value": ["P1"]}
}


def failed_tags(**changes: dict[str, Any] | None) -> list[str]:
    """Return the tags of the failed attributes of a good data set with elements changed or, by None, left out."""
    changed = GOOD | {tag_of(keyword): element for keyword, element in changes.items()}
    return [
        one.tag for one in missing_or_invalid({tag: element for tag, element in changed.items() if element is not None})
    ]


def patient_id(*values: str | None) -> dict[str, Any]:
    return {"vr": "LO", "Value": list(values)} if values else {"vr": "LO"}


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "0",
        "1.2.840.10008.1.2",
        "1." + "2" * 62,
        "01.02",
        "1..2",
        ".1",
        "2.25.329800735698586629295641978511506172918",
    ],
)
def test_uid(text: str) -> None:
    """A UID is 1 to 64 digits and dots that end in a digit; odd components are let through (common.md, "UIDs")."""
    assert is_uid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        "1." + "2" * 63,
        "abc.123",
        "11|",
        "1-2",
        "1.2 ",
        " 1.2",
        "1.2\0",
        "1.2\n",
        "1,2",
        "\u0661.\u0662",
        "1.2²",
        "*",
    ],
)
def test_not_uid(text: str) -> None:
    """Anything else is none: letters, blanks, line ends, digits of other scripts, more than 64 characters."""
    assert not is_uid(text)


def test_good() -> None:
    """A data set with every required attribute passes."""
    assert failed_tags() == []


@pytest.mark.parametrize("keyword", _UIDS)
@pytest.mark.parametrize(
    "element",
    [
        None,
        {"vr": "UI"},
        {"vr": "UI", "Value": []},
        {"vr": "UI", "Value": [None]},
        {"vr": "UI", "Value": [""]},
        {"vr": "UI", "Value": ["abc.123"]},
        {"vr": "UI", "Value": ["11|"]},
        {"vr": "UI", "Value": ["1.2", "1.3"]},
        {"vr": "UI", "Value": ["1" * 65]},
        {"vr": "LO", "Value": ["1.2"]},
        {"vr": "IS", "Value": [12]},
        {"vr": "SQ", "Value": [{}]},
        {"vr": "OB", "InlineBinary": "MS4y"},
    ],
)
def test_required_uid(keyword: str, element: dict[str, Any] | None) -> None:
    """Each of the four UIDs must be there, with the VR UI and one valid value."""
    assert failed_tags(**{keyword: element}) == [tag_of(keyword)]


def test_leading_zeros_and_padding() -> None:
    """Leading zeros and trailing blanks do not make a UID invalid."""
    assert failed_tags(StudyInstanceUID={"vr": "UI", "Value": ["01.002 "]}) == []


@pytest.mark.parametrize(
    "element",
    [
        None,
        patient_id("x" * 65),
        patient_id("a\0b"),
        patient_id("a\nb"),
        patient_id("a\x7f"),
        patient_id("A", "B"),
        patient_id(None, "B"),
        {"vr": "SH", "Value": ["P1"]},
        {"vr": "UN", "InlineBinary": "UDE="},
    ],
)
def test_bad_patient_id(element: dict[str, Any] | None) -> None:
    """The Patient ID must be there, one LO of at most 64 characters without control characters."""
    assert failed_tags(PatientID=element) == [_PATIENT_ID]


@pytest.mark.parametrize(
    "element",
    [
        patient_id(),
        patient_id(""),
        patient_id("x" * 64),
        patient_id("山田"),
        patient_id("\x1b$B;3ED\x1b(B"),
        patient_id("abc\0"),
        patient_id("x" * 64 + "\0"),
    ],
)
def test_good_patient_id(element: dict[str, Any]) -> None:
    """It may be empty, as the version decides; escape sequences and NULs at its end are no fault."""
    assert failed_tags(PatientID=element) == []


def test_every_problem() -> None:
    """All failing attributes are named, not only the first."""
    assert sorted(one.tag for one in missing_or_invalid({})) == sorted(GOOD)


def test_no_values_in_problems() -> None:
    """What is said of a problem never holds a value (style.md, "Errors")."""
    dataset = {tag: {"vr": element["vr"], "Value": ["Doe^John\0x"]} for tag, element in GOOD.items()}

    problems = missing_or_invalid(dataset)

    assert len(problems) == len(GOOD)
    assert not any("Doe" in one.problem for one in problems)


@pytest.mark.parametrize(
    "element", [patient_id(), patient_id(""), patient_id("  "), patient_id("\0"), patient_id(None)]
)
def test_empty_patient_id(element: dict[str, Any]) -> None:
    """A Patient ID without a value, blanks and NULs aside, is reported by itself: warning or failure."""
    assert [one.tag for one in empty_patient_id({_PATIENT_ID: element})] == [_PATIENT_ID]


@pytest.mark.parametrize("dataset", [{}, {_PATIENT_ID: patient_id("P1")}, {_PATIENT_ID: patient_id(" 0")}])
def test_not_empty_patient_id(dataset: dict[str, Any]) -> None:
    """One with a value is not, and one that is missing is another problem."""
    assert empty_patient_id(dataset) == []


@pytest.mark.parametrize(
    ("element", "uid"),
    [
        ({"vr": "UI", "Value": ["1.2"]}, "1.2"),
        ({"vr": "UI", "Value": ["1.2 \0"]}, "1.2"),
        ({"vr": "UI", "Value": ["1.2", "1.3"]}, "1.2"),
        ({"vr": "UI", "Value": [None]}, ""),
        ({"vr": "UI", "Value": []}, ""),
        ({"vr": "UI"}, ""),
        (None, ""),
    ],
)
def test_uid_value(element: dict[str, Any] | None, uid: str) -> None:
    """A UID is compared and stored without its padding; there is none where the element has no value."""
    assert uid_value({} if element is None else {"0020000D": element}, "0020000D") == uid
