"""Whether an instance can be stored, and what is wrong with it (`shared/dicom/validation.py`; store.md)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from shared.dicom.attributes import INDEXED_BY_REFERENCE, tag_of
from shared.dicom.header import Fault, Header, read_header
from shared.dicom.validation import Findings, examine, uid_value
from tests.factories import dataset as made
from tests.factories import file_of, part10

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_PATIENT_ID = tag_of("PatientID")
_BOTH = pytest.mark.parametrize("is_strict", [True, False], ids=["v1", "v2"])

_GOOD = read_header(part10())


def header(**attributes: Any) -> Header:
    """Return the header of a good file with attributes set, or left out by None."""
    return read_header(part10(**attributes))


def changed(left: str = "", /, **elements: dict[str, Any]) -> Header:
    """Return a good header with elements of its data set replaced, and the one of the keyword *left* taken out."""
    dataset = _GOOD.dataset | {tag_of(keyword): element for keyword, element in elements.items()}
    return replace(_GOOD, dataset={tag: dataset[tag] for tag in sorted(dataset) if not left or tag != tag_of(left)})


def failed(findings: Findings) -> dict[str, str]:
    return {one.tag: one.problem for one in findings.failed}


def warned(findings: Findings) -> dict[str, str]:
    return {one.tag: one.problem for one in findings.warned}


@_BOTH
def test_good(is_strict: bool) -> None:
    """An instance that keeps all rules passes without a word."""
    assert examine(_GOOD, is_strict=is_strict) == Findings()


@_BOTH
@pytest.mark.parametrize("keyword", [*_UIDS, "PatientID"])
def test_missing(is_strict: bool, keyword: str) -> None:
    """Each of the four UIDs and Patient ID must be there."""
    assert failed(examine(changed(keyword), is_strict=is_strict)) == {tag_of(keyword): "the attribute is required"}


@_BOTH
@pytest.mark.parametrize("keyword", _UIDS)
@pytest.mark.parametrize(
    ("element", "problem"),
    [
        ({"vr": "UI"}, "the attribute has no value"),
        ({"vr": "UI", "Value": []}, "the attribute has no value"),
        ({"vr": "UI", "Value": [None]}, "the attribute has no value"),
        ({"vr": "UI", "Value": ["abc.123"]}, "no UID of 1 to 64 digits and dots"),
        ({"vr": "UI", "Value": ["11|"]}, "no UID of 1 to 64 digits and dots"),
        ({"vr": "UI", "Value": ["1" * 65]}, "no UID of 1 to 64 digits and dots"),
        ({"vr": "UI", "Value": ["1.2\x00.3"]}, "no UID of 1 to 64 digits and dots"),
        ({"vr": "UI", "Value": ["1.2", "1.3"]}, "2 values; 1 expected"),
        ({"vr": "UI", "Value": [None, None]}, "2 values; 1 expected"),
        ({"vr": "LO", "Value": ["1.2"]}, "the VR is LO; UI is expected"),
        ({"vr": "IS", "Value": [12]}, "the VR is IS; UI is expected"),
        ({"vr": "SQ", "Value": [{}]}, "the VR is SQ; UI is expected"),
        ({"vr": "OB", "InlineBinary": "MS4y"}, "the VR is OB; UI is expected"),
    ],
)
def test_required_uid(is_strict: bool, keyword: str, element: dict[str, Any], problem: str) -> None:
    """Each of the four UIDs has the VR UI and one valid value."""
    assert failed(examine(changed(**{keyword: element}), is_strict=is_strict)) == {tag_of(keyword): problem}


@pytest.mark.parametrize("keyword", _UIDS)
@pytest.mark.parametrize("uid", ["1.02.3", "1..2"])
def test_odd_uid(keyword: str, uid: str) -> None:
    """A required UID with leading zeros passes; version 2 warns, and leaves it out unless it names the instance."""
    odd = changed(**{keyword: {"vr": "UI", "Value": [uid]}})

    strict, lenient = examine(odd, is_strict=True), examine(odd, is_strict=False)

    assert strict == Findings()
    assert list(warned(lenient)) == [tag_of(keyword)]
    assert lenient.left_out == ({tag_of(keyword)} if keyword == "SOPClassUID" else set())
    assert not lenient.failed


@_BOTH
@pytest.mark.parametrize(
    ("element", "problem"),
    [
        ({"vr": "LO", "Value": ["x" * 65]}, "65 characters; at most 64"),
        ({"vr": "LO", "Value": ["a\0b"]}, "a control character"),
        ({"vr": "LO", "Value": ["a\nb"]}, "a control character"),
        ({"vr": "LO", "Value": ["a\x7f"]}, "a control character"),
        ({"vr": "SH", "Value": ["P1"]}, "the VR is SH; LO is expected"),
        ({"vr": "UN", "InlineBinary": "UDE="}, "the VR is UN; LO is expected"),
    ],
)
def test_bad_patient_id(is_strict: bool, element: dict[str, Any], problem: str) -> None:
    """A value of Patient ID is an LO of at most 64 characters without control characters."""
    assert failed(examine(changed(PatientID=element), is_strict=is_strict)) == {_PATIENT_ID: problem}


@_BOTH
@pytest.mark.parametrize("text", ["x" * 64, "山田", "\x1b$B;3ED\x1b(B"])
def test_good_patient_id(is_strict: bool, text: str) -> None:
    """It may be in any script, with escape sequences."""
    assert examine(changed(PatientID={"vr": "LO", "Value": [text]}), is_strict=is_strict) == Findings()


@pytest.mark.parametrize("element", [{"vr": "LO"}, {"vr": "LO", "Value": [""]}, {"vr": "LO", "Value": ["  "]}])
def test_empty_patient_id(element: dict[str, Any]) -> None:
    """A Patient ID without a value fails in version 1, and is stored with a warning in version 2."""
    empty = changed(PatientID=element)

    strict, lenient = examine(empty, is_strict=True), examine(empty, is_strict=False)

    assert failed(strict) == {_PATIENT_ID: "the attribute has no value"}
    assert lenient == Findings(warned=strict.failed)


def test_patient_id_of_nuls() -> None:
    """NULs alone are no value either; version 1 refuses NULs as such."""
    nuls = changed(PatientID={"vr": "LO", "Value": ["\0\0"]})

    assert failed(examine(nuls, is_strict=True)) == {_PATIENT_ID: "a NUL at the end"}
    assert warned(examine(nuls, is_strict=False)) == {_PATIENT_ID: "the attribute has no value"}


@pytest.mark.parametrize("text", ["abc\0", "x" * 64 + "\0", "abc\0\0"])
def test_patient_id_with_nuls(text: str) -> None:
    """NULs at the end of Patient ID fail in version 1 and are nothing in version 2."""
    padded = changed(PatientID={"vr": "LO", "Value": [text]})

    assert failed(examine(padded, is_strict=True)) == {_PATIENT_ID: "a NUL at the end"}
    assert examine(padded, is_strict=False) == Findings()


def test_several_patient_ids() -> None:
    """Several Patient IDs are stored, the first one counts; version 2 warns of their number (PS3.5 §6.4)."""
    several = changed(PatientID={"vr": "LO", "Value": ["A", "B"]})

    strict, lenient = examine(several, is_strict=True), examine(several, is_strict=False)

    assert strict == Findings(multiple=("PatientID",))
    assert warned(lenient) == {_PATIENT_ID: "2 values; 1 expected"}
    assert lenient.left_out == {_PATIENT_ID}
    assert lenient.multiple == ("PatientID",)


@_BOTH
def test_all_failures(is_strict: bool) -> None:
    """All failing attributes are named, in the order of their tags, and nothing else is then said."""
    bare = replace(_GOOD, dataset={"00080030": {"vr": "TM", "Value": ["x"]}})

    findings = examine(bare, is_strict=is_strict)

    assert list(failed(findings)) == sorted(map(tag_of, (*_UIDS, "PatientID")))
    assert not findings.warned


@_BOTH
def test_no_values_in_problems(is_strict: bool) -> None:
    """What is said of a problem never holds a value (style.md, "Errors")."""
    dataset = {tag: {"vr": vr, "Value": ["Doe^John\0x"]} for tag, vr in INDEXED_BY_REFERENCE.items() if vr != "PN"}

    findings = examine(replace(_GOOD, dataset=dataset), is_strict=is_strict)

    assert findings.failed
    assert not any("Doe" in one.problem for one in findings.failed)


def test_indexed_by_reference() -> None:
    """The reference indexes these attributes (store.md, "index")."""
    expected = {
        "StudyInstanceUID": "UI",
        "PatientID": "LO",
        "PatientName": "PN",
        "PatientBirthDate": "DA",
        "ReferringPhysicianName": "PN",
        "StudyDate": "DA",
        "StudyDescription": "LO",
        "AccessionNumber": "SH",
        "SeriesInstanceUID": "UI",
        "Modality": "CS",
        "PerformedProcedureStepStartDate": "DA",
        "ManufacturerModelName": "LO",
        "SOPInstanceUID": "UI",
    }

    assert {tag_of(keyword): vr for keyword, vr in expected.items()} == INDEXED_BY_REFERENCE


@pytest.mark.parametrize(
    ("keyword", "value", "problem"),
    [
        ("StudyDate", "20230229", "no date of the form yyyyMMdd"),
        ("StudyDate", "1994.11.05", "no date of the form yyyyMMdd"),
        ("PatientBirthDate", "UNKNOWN", "no date of the form yyyyMMdd"),
        ("PerformedProcedureStepStartDate", "2023", "no date of the form yyyyMMdd"),
        ("PatientName", "A=B=C=D", "more than 3 component groups"),
        ("ReferringPhysicianName", "A^B^C^D^E^F", "6 name components; at most 5"),
        ("StudyDescription", "x" * 65, "65 characters; at most 64"),
        ("ManufacturerModelName", "x" * 65, "65 characters; at most 64"),
        ("AccessionNumber", "x" * 17, "17 characters; at most 16"),
        ("Modality", "X" * 17, "17 characters; at most 16"),
    ],
)
def test_invalid_indexed(keyword: str, value: str, problem: str) -> None:
    """An invalid value of what the reference indexes fails in version 1; in version 2 it is left out with a warning."""
    invalid = header(**{keyword: value})

    strict, lenient = examine(invalid, is_strict=True), examine(invalid, is_strict=False)

    assert failed(strict) == {tag_of(keyword): problem}
    assert lenient == Findings(warned=strict.failed, left_out=frozenset({tag_of(keyword)}))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyTime", "25"),
        ("PatientSex", "?"),
        ("StudyID", "x" * 17),
        ("SeriesDescription", "x" * 65),
        ("BodyPartExamined", "knee"),
        ("InstanceNumber", "2147483648"),
        ("SeriesNumber", "99999999999"),
        ("PerformedProcedureStepStartTime", "x"),
        ("InstitutionName", "x" * 65),
    ],
)
def test_invalid_other(keyword: str, value: str) -> None:
    """An invalid value of anything else, indexed by us or not, is nothing to version 1 and a warning in version 2."""
    invalid = header(**{keyword: value})

    strict, lenient = examine(invalid, is_strict=True), examine(invalid, is_strict=False)

    assert strict == Findings()
    assert list(warned(lenient)) == [tag_of(keyword)]
    assert lenient.left_out == {tag_of(keyword)}
    assert not lenient.failed


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("StudyDescription", "CHEST\0"), ("StudyDate", "20240101\0"), ("Modality", "CT\0"), ("PatientName", "Doe^John\0")],
)
def test_nuls(keyword: str, value: str) -> None:
    """NULs at the end of an indexed value fail in version 1 and are nothing in version 2."""
    vr = INDEXED_BY_REFERENCE[tag_of(keyword)]
    padded = changed(**{keyword: {"vr": vr, "Value": [{"Alphabetic": value} if vr == "PN" else value]}})

    assert failed(examine(padded, is_strict=True)) == {tag_of(keyword): "a NUL at the end"}
    assert examine(padded, is_strict=False) == Findings()


def test_other_vr() -> None:
    """An indexed attribute of another VR than the dictionary's fails in version 1; version 2 takes the file's VR."""
    other = changed(AccessionNumber={"vr": "LO", "Value": ["A1"]})

    assert failed(examine(other, is_strict=True)) == {tag_of("AccessionNumber"): "the VR is LO; SH is expected"}
    assert examine(other, is_strict=False) == Findings()


@pytest.mark.parametrize("value", ["", None])
def test_empty_indexed(value: str | None) -> None:
    """Empty and absent indexed attributes pass in both versions."""
    bare = header(StudyDate=value, AccessionNumber=value, Modality=value, PatientName=value)

    assert examine(bare, is_strict=True) == examine(bare, is_strict=False) == Findings()


def test_several_indexed() -> None:
    """Version 1 names indexed attributes with several values and looks at the first; version 2 warns of the number."""
    several = header(Modality=["CT", "X" * 17], StudyDescription=["A", "B"], ImageType=["A", "B"])

    strict, lenient = examine(several, is_strict=True), examine(several, is_strict=False)

    assert strict == Findings(multiple=("Modality", "StudyDescription"))
    assert list(warned(lenient)) == [tag_of("Modality"), tag_of("StudyDescription")]
    assert lenient.multiple == ()


_QUERY_TAGS: Mapping[str, str] = {**INDEXED_BY_REFERENCE, "00181030": "LO", "00091001": "IS", "00189073": "FD"}


def test_query_tags() -> None:
    """Version 1 refuses an invalid value of an extended query tag; version 2 stores it with a warning."""
    invalid = changed(ProtocolName={"vr": "LO", "Value": ["x" * 65]}, StationName={"vr": "IS", "Value": ["1A"]})
    indexed = {**INDEXED_BY_REFERENCE, tag_of("ProtocolName"): "LO", tag_of("StationName"): "IS"}

    strict = examine(invalid, is_strict=True, indexed=indexed)
    lenient = examine(invalid, is_strict=False, indexed=indexed)

    assert failed(strict) == {"00081010": "no integer of 32 bits", "00181030": "65 characters; at most 64"}
    assert lenient == Findings(warned=strict.failed, left_out=frozenset(failed(strict)))


def test_several_of_query_tag() -> None:
    """A query tag without a keyword is named by its tag when it has several values."""
    several = replace(_GOOD, dataset=_GOOD.dataset | {"00091001": {"vr": "IS", "Value": [1, 2]}})

    assert examine(several, is_strict=True, indexed=_QUERY_TAGS) == Findings(multiple=("00091001",))


def test_long_binary_query_tag() -> None:
    """A query tag whose value is too long and too binary for the data set has the wrong VR all the same."""
    data = made()
    data.add_new(0x00181030, "OB", bytes(2000))
    binary = read_header(file_of(data))

    assert failed(examine(binary, is_strict=True, indexed=_QUERY_TAGS)) == {"00181030": "the VR is OB; LO is expected"}
    assert examine(binary, is_strict=False, indexed=_QUERY_TAGS) == Findings()


def test_wrong_length() -> None:
    """A number of a wrong length fails in version 1 where it is indexed; version 2 warns and leaves it out."""
    unfit = replace(
        _GOOD,
        dataset=_GOOD.dataset | {"00189073": {"vr": "UN", "InlineBinary": "AAAA"}},
        faults=(Fault("00189073", "3 bytes are no whole FD values"),),
    )

    strict = examine(unfit, is_strict=True, indexed=_QUERY_TAGS)

    assert failed(strict) == {"00189073": "3 bytes are no whole FD values"}
    assert examine(unfit, is_strict=True) == Findings()
    assert examine(unfit, is_strict=False) == Findings(warned=strict.failed, left_out=frozenset({"00189073"}))


def test_long_number() -> None:
    """A number written too long is a warning in version 2, and nothing to the minimum rules."""
    long = header(SliceThickness="1.00000000000000000", InstanceNumber="0000000000001")

    lenient = examine(long, is_strict=False)

    assert warned(lenient) == {"00180050": "a value over 16 characters", "00200013": "a value over 12 characters"}
    assert lenient.left_out == {"00180050", "00200013"}
    assert examine(long, is_strict=True, indexed={**INDEXED_BY_REFERENCE, "00200013": "IS"}) == Findings()


def test_nested() -> None:
    """Of a sequence the nested attribute is named and the whole is left out, whoever found the fault."""
    item = {"00080100": {"vr": "SH", "Value": ["x" * 17]}}
    nested = replace(
        _GOOD,
        dataset=_GOOD.dataset | {"00081032": {"vr": "SQ", "Value": [{}, item]}},
        faults=(Fault("54000100/2/003A0210", "problem 1"), Fault("54000100/3/003A0211", "problem 2")),
    )

    findings = examine(nested, is_strict=False)

    assert warned(findings) == {"00080100": "17 characters; at most 16", "003A0210": "problem 1"}
    assert findings.left_out == {"00081032", "54000100"}


def test_one_warning_each() -> None:
    """Each attribute of the data set has one warning, and they are in the order of tags."""
    findings = examine(
        replace(
            header(StudyDate="x", Rows=[1, 2], StudyTime="x"),
            faults=(Fault("00080020", "also"), Fault("00080005", "problem")),
        ),
        is_strict=False,
    )

    assert [one.tag for one in findings.warned] == ["00080005", "00080020", "00080030", "00280010"]


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
