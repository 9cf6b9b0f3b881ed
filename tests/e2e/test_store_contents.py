"""What becomes of a stored file (store.md, "What is stored"): its bytes, its metadata, and what the index has of it."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from tests.e2e.client import Client, reasons, stored, warnings
from tests.factories import dataset, file_of, new_uid, part10, with_value

_IMPLICIT_VR, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
_MPEG2, _HEVC, _HTJ2K, _JPEG_XL = (f"1.2.840.10008.1.2.4.{number}" for number in (100, 107, 201, 110))
_UNKNOWN = "1.2.3.4.5.6.7"


def test_preamble(client: Client) -> None:
    """The 128 bytes before the DICM prefix come back as zeros (store.md, "What is stored")."""
    study = new_uid()
    file = part10(StudyInstanceUID=study)

    client.store(b"II*\0" * 32 + file[128:])

    assert client.files(f"/studies/{study}") == [bytes(128) + file[128:]]


def test_larger_than_a_batch(any_v2: Client) -> None:
    """An instance larger than the memory of a batch is streamed to storage and comes back byte for byte."""
    study = new_uid()
    files = [part10(StudyInstanceUID=study, pixel_bytes=length) for length in (0, 10_000_000, 0)]

    answer = any_v2.store(*files)

    assert answer.status_code == 200, answer.text
    assert sorted(any_v2.files(f"/studies/{study}"), key=len) == sorted(files, key=len)


@pytest.mark.parametrize("syntax", [_IMPLICIT_VR, _DEFLATED, _MPEG2, _HEVC, _HTJ2K, _JPEG_XL, _UNKNOWN])
def test_transfer_syntax(plain: Client, syntax: str) -> None:
    """A file in any transfer syntax is stored as it is, an unknown one too; only implicit VR is a warning."""
    study = new_uid()
    file = part10(StudyInstanceUID=study, transfer_syntax=syntax, pixel_bytes=5_000)

    answer = plain.store(file)

    assert warnings(answer) == [45063 if syntax == _IMPLICIT_VR else None]
    assert plain.files(f"/studies/{study}") == [file]


def test_without_pixel_data(plain: Client) -> None:
    """A file without pixel data is stored (store.md, "Edge cases")."""
    study = new_uid()

    answer = plain.store(part10(StudyInstanceUID=study))

    assert answer.status_code == 200
    assert "7FE00010" not in plain.metadata(f"/studies/{study}")[0]


def _group_length(file: bytes) -> bytes:
    """Return a file whose data set begins with a wrong group length (PS3.5 §7.2, retired)."""
    start = 132 + 12 + int.from_bytes(file[140:144], "little")
    return file[:start] + b"\x08\0\0\0UL\x04\0\xff\xff\0\0" + file[start:]


def _odd_length(file: bytes) -> bytes:
    """Return a file with a value of odd length at its end (PS3.5 §7.1.1 wants even ones)."""
    return file + b"\x20\0\0\x40LT\x05\0Hello"


def _trailing_padding(file: bytes) -> bytes:
    """Return a file with Data Set Trailing Padding (PS3.10 §7.2)."""
    return file + b"\xfc\xff\xfc\xffOB\0\0\x10\0\0\0" + bytes(16)


def _nested(file: bytes) -> bytes:
    """Return a file with a sequence of undefined length within another, thirty deep (PS3.5 §7.5)."""
    opening = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return file + b"\x40\0\x75\x02" + opening[4:] + opening * 29 + closing * 30


@pytest.mark.parametrize("change", [_group_length, _odd_length, _trailing_padding, _nested])
def test_unusual_file(plain: Client, change: Callable[[bytes], bytes]) -> None:
    """Files that are unusual, or break a rule that does not keep them from being read, are stored unchanged."""
    study = new_uid()
    file = change(part10(StudyInstanceUID=study, Modality=None))

    answer = plain.store(file)

    assert reasons(answer) == []
    assert plain.files(f"/studies/{study}") == [file]
    [found] = plain.metadata(f"/studies/{study}")
    assert found["00100020"] == {"vr": "LO", "Value": ["P1"]}
    assert not {tag for tag in found if tag.endswith("0000") or tag.startswith("0002")}


def test_without_preamble(plain: Client) -> None:
    """A data set without preamble and DICM prefix is not DICOM: it fails with 43264 (issue 3, "Files as they are")."""
    assert reasons(plain.store(part10()[132:], part10()[128:])) == [43264, 43264]


def test_metadata(plain: Client) -> None:
    """The metadata is the data set as DICOM JSON: no bulk values, no file meta, private and nested ones included."""
    study = new_uid()
    made = dataset(StudyInstanceUID=study, PatientWeight="71.5", InstanceNumber="7", PatientBirthDate="")
    made.RequestAttributesSequence = Sequence([Dataset()])
    made.RequestAttributesSequence[0].RequestedProcedureID = "RP1"
    block = made.private_block(0x0019, "US", create=True)
    block.add_new(0x01, "SH", "private")
    made.add_new("PixelData", "OW", bytes(4_000))

    plain.store(file_of(made))

    [found] = plain.metadata(f"/studies/{study}")
    assert found["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^John"}]}
    assert found["00101030"] == {"vr": "DS", "Value": [71.5]}
    assert found["00200013"] == {"vr": "IS", "Value": [7]}
    assert found["00100030"] == {"vr": "DA"}
    assert found["00400275"]["Value"] == [{"00401001": {"vr": "SH", "Value": ["RP1"]}}]
    assert found["00191001"] == {"vr": "SH", "Value": ["private"]}
    assert not {"Value", "InlineBinary"} & set(found.get("7FE00010", {}))
    assert list(found) == sorted(found)


def test_private_of_implicit_vr(plain: Client) -> None:
    """Private elements of implicit VR have no VR, so no value of theirs is in the metadata; the file keeps them."""
    study = new_uid()
    made = dataset(StudyInstanceUID=study)
    made.private_block(0x0019, "NOBODY KNOWS", create=True).add_new(0x01, "SH", "private")
    file = file_of(made, _IMPLICIT_VR)

    plain.store(file)

    [found] = plain.metadata(f"/studies/{study}")
    assert "Value" not in found.get("00191001", {})
    assert plain.files(f"/studies/{study}") == [file]


_STUDY = {
    "PatientID": "MRN-7",
    "PatientName": "Roe^Jane",
    "PatientBirthDate": "19700102",
    "ReferringPhysicianName": "Who^Doctor",
    "StudyDate": "20240229",
    "StudyDescription": "Head",
    "AccessionNumber": "A-77",
}
_SERIES = {
    "Modality": "MR",
    "PerformedProcedureStepStartDate": "20240301",
    "ManufacturerModelName": "Model T",
}

_ALL: dict[str, Any] = _STUDY | _SERIES


@pytest.mark.parametrize(
    ("path", "attributes", "keyword"),
    [
        *(pytest.param("/studies", _STUDY, keyword, id=f"study {keyword}") for keyword in _STUDY),
        *(pytest.param("/series", _SERIES, keyword, id=f"series {keyword}") for keyword in _SERIES),
    ],
)
def test_index(plain: Client, path: str, attributes: Mapping[str, str], keyword: str) -> None:
    """What store.md names of study and series is found by its value, and not by another."""
    study = new_uid()
    plain.store(part10(StudyInstanceUID=study, **_ALL))

    found = plain.search(path, **{keyword: attributes[keyword], "StudyInstanceUID": study})
    other = plain.search(path, **{keyword: "20000101" if "Date" in keyword else "X", "StudyInstanceUID": study})

    assert [one["0020000D"]["Value"] for one in found] == [[study]]
    assert other == []


@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "SOPInstanceUID"])
def test_index_of_instance(plain: Client, keyword: str) -> None:
    """An instance is found by its UID and by that of its series."""
    uid = new_uid()
    attributes: dict[str, Any] = {keyword: uid}
    plain.store(part10(**attributes))

    assert len(plain.search("/instances", **{keyword: uid})) == 1


_LATEST = [
    pytest.param("PatientID", "/studies", ["A", "B"], id="patient id"),
    pytest.param("StudyDescription", "/studies", ["Knee", "Hip"], id="study"),
    pytest.param("PatientName", "/studies", ["A^B", "C^D"], id="name"),
    pytest.param("Modality", "/series", ["CT", "MR"], id="series"),
]


@pytest.mark.parametrize(("keyword", "path", "values"), _LATEST)
def test_latest_wins(plain: Client, keyword: str, path: str, values: list[str]) -> None:
    """Attributes of study and series that differ between instances are not refused; the latest value is indexed."""
    uids: dict[str, Any] = {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid()}

    answers = [plain.store(part10(**(uids | {keyword: value}))) for value in values]

    assert [answer.status_code for answer in answers] == [200, 200]
    matches = [plain.search(path, StudyInstanceUID=uids["StudyInstanceUID"], **{keyword: value}) for value in values]
    assert list(map(len, matches)) == [0, 1]


@pytest.mark.parametrize("empty", [None, ""], ids=["absent", "empty"])
@pytest.mark.parametrize(("keyword", "path", "values"), _LATEST[1:])
def test_empty_erases_nothing(plain: Client, keyword: str, path: str, values: list[str], empty: str | None) -> None:
    """An absent or empty value of a later instance never erases an indexed one (store.md, "What is stored")."""
    uids: dict[str, Any] = {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid()}

    answers = [plain.store(part10(**(uids | {keyword: value}))) for value in (values[0], empty)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(plain.search(path, StudyInstanceUID=uids["StudyInstanceUID"], **{keyword: values[0]})) == 1


def test_padded_uids(plain: Client) -> None:
    """Trailing blanks of UIDs are stored as sent; retrieve finds the instance with and without them (common.md)."""
    study, series, instance = new_uid(), new_uid(), new_uid()
    file = part10()
    for keyword, uid in (("StudyInstanceUID", study), ("SeriesInstanceUID", series), ("SOPInstanceUID", instance)):
        file = with_value(file, keyword, "UI", f"{uid}  ".encode())

    answer = plain.store(file)

    assert stored(answer) == [instance]
    for padding in ("", "%20", "%20%20"):
        path = f"/studies/{study}{padding}/series/{series}{padding}/instances/{instance}{padding}"
        assert plain.files(path) == [file]
    assert len(plain.search("/studies", StudyInstanceUID=study)) == 1


def test_newest_last(plain: Client) -> None:
    """Instances of one request are retrieved in the order in which they were sent."""
    study = new_uid()
    numbers = list(range(60))
    plain.store(*(part10(StudyInstanceUID=study, InstanceNumber=str(number)) for number in numbers))

    found: list[Any] = [one["00200013"]["Value"][0] for one in plain.metadata(f"/studies/{study}")]

    assert all(one < other for one, other in pairwise(found))
    assert found == numbers
