"""What a Store says of attributes that break a rule (store.md, "Required attributes", "Validation of values")."""

from typing import Any

import httpx
import pytest
from pydicom.tag import Tag

from tests.e2e.client import Client, comment_name, named, reasons, warnings
from tests.factories import file_with, new_uid, part10

_LONG = "x" * 65


def _tag(keyword: str) -> str:
    return f"{Tag(keyword):08X}"


def _assert_refused(answer: httpx.Response, *tags: str) -> None:
    assert answer.status_code == 409, answer.text
    assert reasons(answer) == [43264]
    assert named(answer) == list(tags)


_OTHER_UIDS = ("SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_BAD_UIDS = {
    "empty": "",
    "blank": "  ",
    "two values": "1.2\\1.3",
    "a letter": "1.2a.3",
    "a bar": "11|",
    "abc.123": "abc.123",
    "a hyphen": "1.2-3",
    "a dot at the end": "1.2.",
    "65 characters": "1." + "2" * 63,
    "a NUL within": "1.2\x003.4",
    "a blank before": " 1.2",
}
_ROWS = [("StudyInstanceUID", name) for name in _BAD_UIDS]
_ROWS += [(keyword, name) for keyword in _OTHER_UIDS for name in ("empty", "two values", "a letter")]


@pytest.mark.parametrize(("keyword", "fault"), _ROWS)
def test_required_uid(plain: Client, keyword: str, fault: str) -> None:
    """A required UID must have one value by the rule of common.md; otherwise 43264, naming the attribute."""
    _assert_refused(plain.store(file_with(keyword, _BAD_UIDS[fault])), comment_name(keyword))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", *_OTHER_UIDS, "PatientID"])
def test_required(plain: Client, keyword: str) -> None:
    """A required attribute must be there (store.md, "Required attributes")."""
    absent: dict[str, Any] = {keyword: None}

    _assert_refused(plain.store(part10(**absent)), comment_name(keyword))


def test_every_failing_attribute(plain: Client) -> None:
    """All failing attributes of an instance are named, in the order of their tags (store.md)."""
    answer = plain.store(part10(SOPClassUID="x", SeriesInstanceUID=None, PatientID=_LONG))

    assert named(answer) == ["(0008,0016)", "(0010,0020)", "(0020,000e)"]


_BAD_PATIENT_IDS = {
    "65 characters": _LONG,
    "a line break": "A\nB",
    "a NUL within": "A\x00BC",
    "a control character": "A\x07BC",
}


@pytest.mark.parametrize("value", _BAD_PATIENT_IDS.values(), ids=_BAD_PATIENT_IDS)
def test_patient_id(plain: Client, value: str) -> None:
    """A value of Patient ID must be a valid LO, at every version (store.md, "Required attributes")."""
    _assert_refused(plain.store(file_with("PatientID", value)), "(0010,0020)")


@pytest.mark.parametrize("value", ["", "  "], ids=["empty", "blank"])
def test_patient_id_without_value(plain: Client, value: str) -> None:
    """A Patient ID without a value fails the instance at v1; at v2 it is stored with warning 1 (store.md)."""
    answer = plain.store(file_with("PatientID", value))

    if plain.version == "v2":
        assert (answer.status_code, warnings(answer), named(answer)) == (202, [1], ["(0010,0020)"])
    else:
        _assert_refused(answer, "(0010,0020)")


_MINIMUM = [
    pytest.param("StudyDate", "2024-01-02", id="DA form"),
    pytest.param("StudyDate", "20240230", id="DA no day of the calendar"),
    pytest.param("PatientBirthDate", "1970", id="DA of a patient"),
    pytest.param("PerformedProcedureStepStartDate", "20241301", id="DA of a series"),
    pytest.param("Modality", "ABCDEFGHIJKLMNOPQ", id="CS 17 characters"),
    pytest.param("AccessionNumber", "ABCDEFGHIJKLMNOPQ", id="SH 17 characters"),
    pytest.param("StudyDescription", _LONG, id="LO 65 characters"),
    pytest.param("StudyDescription", "a\x07bc", id="LO a control character"),
    pytest.param("ManufacturerModelName", _LONG, id="LO of a series"),
    pytest.param("PatientName", _LONG, id="PN 65 characters"),
    pytest.param("PatientName", "a^b^c^d^e^f", id="PN 6 components"),
    pytest.param("PatientName", "a=b=c=d", id="PN 4 groups"),
    pytest.param("ReferringPhysicianName", "a\x07bc", id="PN a control character"),
    pytest.param("ReferringPhysicianName", "a=" + _LONG, id="PN 65 characters in the second group"),
]


@pytest.mark.parametrize(("keyword", "value"), _MINIMUM)
def test_indexed(plain: Client, keyword: str, value: str) -> None:
    """An invalid value of what is indexed fails the instance at v1; at v2 it is left out of metadata and index.

    The file keeps it (store.md, "Minimum rules", "v2 full check").
    """
    study = new_uid()
    file = file_with(keyword, value, StudyInstanceUID=study)

    answer = plain.store(file)

    if plain.version == "v2":
        assert (answer.status_code, warnings(answer), named(answer)) == (202, [1], [comment_name(keyword)])
        assert _tag(keyword) not in plain.stored_metadata(answer)
        [found] = plain.search("/instances", StudyInstanceUID=study, includefield=keyword)
        assert "Value" not in found.get(_tag(keyword), {})
        assert plain.files(f"/studies/{study}") == [file]
    else:
        _assert_refused(answer, comment_name(keyword))
        assert plain.search("/studies", StudyInstanceUID=study) == []


@pytest.mark.parametrize(("keyword", "vr"), [("StudyDate", "LO"), ("PatientName", "LO"), ("Modality", "SH")])
def test_other_vr(v1: Client, keyword: str, vr: str) -> None:
    """At v1 an indexed attribute must have the VR of the dictionary (store.md, "Minimum rules")."""
    _assert_refused(v1.store(file_with(keyword, "20240101", vr)), comment_name(keyword))


@pytest.mark.parametrize("vr", ["SH", "ST", "OB"])
def test_required_other_vr(plain: Client, vr: str) -> None:
    """A required attribute of another VR fails the instance at every version (store.md, "Minimum rules")."""
    _assert_refused(plain.store(file_with("PatientID", "P1", vr)), "(0010,0020)")


def test_unknown_vr(plain: Client) -> None:
    """UN is read as the VR that the dictionary has for the attribute (PS3.5 §6.2.2)."""
    answer = plain.store(file_with("PatientID", "P1", "UN"))

    assert (answer.status_code, warnings(answer)) == (200, [None])
    assert plain.stored_metadata(answer)["00100020"] == {"vr": "LO", "Value": ["P1"]}


_PASSING = {
    "StudyDate": ["", "20240229"],
    "Modality": ["", "ABCDEFGHIJKLMNOP"],
    "AccessionNumber": ["ABCDEFGHIJKLMNOP"],
    "StudyDescription": ["", "x" * 64],
    "PatientName": ["", "a^b^c^d^e=a=b", "x" * 64, "^^^^"],
}


@pytest.mark.parametrize(("keyword", "value"), [(keyword, one) for keyword in _PASSING for one in _PASSING[keyword]])
def test_passes(plain: Client, keyword: str, value: str) -> None:
    """An empty value, and the longest that the rule allows, pass at every version."""
    answer = plain.store(file_with(keyword, value))

    assert (answer.status_code, warnings(answer), named(answer)) == (200, [None], [])


@pytest.mark.parametrize("keyword", ["PatientID", "StudyDescription", "AccessionNumber", "PatientName", "Modality"])
def test_trailing_nul(plain: Client, keyword: str) -> None:
    """NULs at the end of what is examined are refused at v1; at v2 they are no fault: indexed, kept, no warning."""
    study = new_uid()

    answer = plain.store(file_with(keyword, "ABC\0", StudyInstanceUID=study))

    if plain.version == "v2":
        assert (answer.status_code, warnings(answer), named(answer)) == (200, [None], [])
        path = "/series" if keyword == "Modality" else "/studies"
        assert len(plain.search(path, StudyInstanceUID=study, **{keyword: "ABC"})) == 1
        assert "ABC" in str(plain.stored_metadata(answer)[_tag(keyword)]["Value"])
    else:
        _assert_refused(answer, comment_name(keyword))
