"""What a Store says of attributes that break a rule in an instance that it stores (store.md, "v2 full check")."""

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.e2e.client import Client, comment_name, named, warnings
from tests.factories import dataset, file_of, file_with, new_uid, part10, with_value

_LONG = "x" * 65


def _tag(keyword: str) -> str:
    return f"{Tag(keyword):08X}"


def _private(vr: str, value: str) -> bytes:
    """Return a file with a private element and its Private Creator."""
    return with_value(file_with(0x00190010, "NOBODY KNOWS", "LO"), 0x00191001, vr, value.encode())


_FULL = [
    pytest.param("PatientSex", "male", id="CS lower case"),
    pytest.param("PatientAge", "12Q4", id="AS form"),
    pytest.param("StationAETitle", "x" * 17, id="AE 17 characters"),
    pytest.param("StudyTime", "25", id="TM hour"),
    pytest.param("AcquisitionDateTime", "2024023", id="DT form"),
    pytest.param("SeriesDate", "20240230", id="DA no day of the calendar"),
    pytest.param("PatientWeight", "heavy", id="DS no number"),
    pytest.param("InstanceNumber", "1.5", id="IS no integer"),
    pytest.param("InstanceNumber", "99999999999", id="IS over 32 bits"),
    pytest.param("InstitutionName", _LONG, id="LO 65 characters"),
    pytest.param("PatientComments", "x" * 10241, id="LT 10241 characters"),
    pytest.param("PatientComments", "a\x07bc", id="LT a control character"),
    pytest.param("OperatorsName", "a^b^c^d^e^f", id="PN 6 components"),
    pytest.param("StationName", "x" * 17, id="SH 17 characters"),
    pytest.param("InstitutionAddress", "x" * 1025, id="ST 1025 characters"),
    pytest.param("FrameOfReferenceUID", "1.2.x", id="UI a letter"),
    pytest.param("FrameOfReferenceUID", "1.02", id="UI a leading zero"),
    pytest.param("RetrieveURL", "http://a b", id="UR a blank"),
    pytest.param("ImageType", "ORIGINAL", id="VM 1 of 2-n"),
    pytest.param("PixelSpacing", "1\\1\\1 ", id="VM 3 of 2"),
    pytest.param("ImagePositionPatient", "1\\2 ", id="VM 2 of 3"),
    pytest.param("Rows", "\1\0\2\0", id="VM 2 of 1, binary"),
]


@pytest.mark.parametrize(("keyword", "value"), _FULL)
def test_any_attribute(plain: Client, keyword: str, value: str) -> None:
    """v2 checks every attribute by VR and VM: a bad one is a warning, and not in the metadata; v1 checks none of these.

    The file keeps it (store.md, "v2 full check"; api-versioning.md, "which attributes are validated").
    """
    file = file_with(keyword, value)

    answer = plain.store(file)

    shown = plain.stored_metadata(answer)
    if plain.version == "v2":
        assert (answer.status_code, warnings(answer), named(answer)) == (202, [1], [comment_name(keyword)])
        assert _tag(keyword) not in shown
    else:
        assert (answer.status_code, warnings(answer), named(answer)) == (200, [None], [])
        assert shown[_tag(keyword)]["Value"]
    assert plain.files(f"/studies/{shown['0020000D']['Value'][0]}") == [file]


def test_comment(v2: Client) -> None:
    """A comment is LO text of the form `DICOM100: (gggg,eeee) - ...`, without the value (store.md, "Response")."""
    [item] = v2.store(part10(StudyDate="Rosebud")).json()["00081199"]["Value"]

    [comment] = item["00741048"]["Value"]
    assert comment == {"00000902": {"vr": "LO", "Value": [comment["00000902"]["Value"][0]]}}
    assert comment["00000902"]["Value"][0].startswith("DICOM100: (0008,0020) - ")
    assert "Rosebud" not in comment["00000902"]["Value"][0]


def test_one_entry_for_each(v2: Client) -> None:
    """An attribute with several faults has one entry; each faulty attribute has its own, by tag (store.md)."""
    answer = v2.store(part10(PatientSex="bad one", ImageType=["bad one", "bad two"], StudyDate="x"))

    assert named(answer) == ["(0008,0008)", "(0008,0020)", "(0010,0040)"]


def test_nested(plain: Client) -> None:
    """A bad nested value is named itself, and the sequence that holds it is not in the metadata at v2 (store.md)."""
    made = dataset()
    item, inner = Dataset(), Dataset()
    inner.add_new("StudyDate", "DA", "today")
    item.ReferencedSeriesSequence = Sequence([inner])
    made.ReferencedStudySequence = Sequence([Dataset(), item])
    made.RequestAttributesSequence = Sequence([Dataset()])

    answer = plain.store(file_of(made))

    shown = plain.stored_metadata(answer)
    assert "00400275" in shown
    assert ("00081110" in shown) is (plain.version != "v2")
    assert named(answer) == (["(0008,0020)"] if plain.version == "v2" else [])


@pytest.mark.parametrize(("vr", "value"), [("DA", "tomorrow"), ("CS", "lowers"), ("UI", "xx"), ("IS", "xx")])
def test_private(plain: Client, vr: str, value: str) -> None:
    """Private attributes are checked by their VR as well at v2 (store.md, "Edge cases")."""
    answer = plain.store(_private(vr, value))

    is_checked = plain.version == "v2"
    assert answer.status_code == (202 if is_checked else 200)
    assert named(answer) == (["(0019,1001)"] if is_checked else [])
    assert ("00191001" in plain.stored_metadata(answer)) is not is_checked


@pytest.mark.parametrize("vr", ["SH", "CS", "DA", "UI", "LO", "PN", "ST", "IS", "DS"])
def test_nul_of_any_attribute(v2: Client, vr: str) -> None:
    """A value that is invalid only for NULs at its end counts as valid at v2 and stays in the metadata (store.md)."""
    value = {"DA": "20240101\0\0", "UI": "1.2.3.4\0\0", "IS": "12\0\0", "DS": "12\0\0"}.get(vr, "ABC\0")

    answer = v2.store(_private(vr, value))

    assert (answer.status_code, named(answer)) == (200, [])
    assert v2.stored_metadata(answer)["00191001"]["Value"]


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_leading_zero(plain: Client, keyword: str) -> None:
    """A leading zero in a required UID passes; at v2 it is a warning, yet the naming UIDs stay in the metadata."""
    answer = plain.store(file_with(keyword, f"2.25.1{new_uid()[-15:]}.01"))

    if plain.version == "v2":
        assert (answer.status_code, warnings(answer), named(answer)) == (202, [1], [comment_name(keyword)])
    else:
        assert (answer.status_code, warnings(answer)) == (200, [None])
    is_kept = plain.version != "v2" or keyword != "SOPClassUID"
    assert (_tag(keyword) in plain.stored_metadata(answer)) is is_kept


def test_other_value_is_indexed(v2: Client) -> None:
    """A study whose attribute was left out for one instance is found by the good value of another (store.md)."""
    study = new_uid()

    for date in ("20240101", "today"):
        v2.store(part10(StudyInstanceUID=study, StudyDate=date))

    assert len(v2.search("/studies", StudyInstanceUID=study, StudyDate="20240101")) == 1


@pytest.mark.parametrize("keyword", ["PatientID", "StudyDescription", "Modality", "PatientName"])
def test_several_values(plain: Client, keyword: str) -> None:
    """Of several values of an examined attribute the first is indexed, and an HTTP Warning says so.

    v1 examines what is indexed; v2 only what is required, and has a warning for the multiplicity of any attribute
    (store.md, "Response"; api-versioning.md).
    """
    study = new_uid()

    answer = plain.store(file_with(keyword, "AAA\\BBB", StudyInstanceUID=study))

    is_v2 = plain.version == "v2"
    assert answer.status_code == (202 if is_v2 else 200)
    assert named(answer) == ([comment_name(keyword)] if is_v2 else [])
    assert ("warning" in answer.headers) is (not is_v2 or keyword == "PatientID")
    if not is_v2:
        path = "/series" if keyword == "Modality" else "/studies"
        assert len(plain.search(path, StudyInstanceUID=study, **{keyword: "AAA"})) == 1
        assert plain.search(path, StudyInstanceUID=study, **{keyword: "BBB"}) == []


def test_warning_header(v1: Client) -> None:
    """The Warning header has code 299, the host as agent and a quoted text; the status is unaffected (store.md)."""
    answer = v1.store(part10(StudyDescription=["Rosebud", "BBB"]), part10())

    host = str(v1.http.base_url).split("/")[2]
    assert answer.status_code == 200
    assert answer.headers["warning"].startswith(f'299 {host}: "')
    assert answer.headers["warning"].endswith('"')
    assert "StudyDescription" in answer.headers["warning"]
    assert "Rosebud" not in answer.headers["warning"]
    assert "warning" not in v1.store(part10()).headers


def test_patient_id_survives(v2: Client) -> None:
    """An empty Patient ID does not erase the one that the study is found by (store.md, "Edge cases")."""
    study = new_uid()

    answers = [v2.store(part10(StudyInstanceUID=study, PatientID=value)) for value in ("MRN-9", "")]

    assert [answer.status_code for answer in answers] == [200, 202]
    assert len(v2.search("/studies", PatientID="MRN-9", StudyInstanceUID=study)) == 1
