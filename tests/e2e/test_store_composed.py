"""Stores of metadata and bulk data, and answers in XML (PS3.18 §8.6.1, §8.7.3.2, §10.5; conformance-extras.md)."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pydicom import Dataset, dcmread

from tests.e2e.client import Client, named, reasons, stored, warnings
from tests.factories import new_uid, part10

_JSON, _XML = "application/dicom+json", "application/dicom+xml"
_NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
_JPEG = "1.2.840.10008.1.2.4.50"


def _metadata(**values: Any) -> dict[str, Any]:
    """Return the DICOM JSON of a CT instance, every UID its own; elements are added by tag, as `x00100010`."""
    made = {
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
        "00080018": {"vr": "UI", "Value": [new_uid()]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^John"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "0020000D": {"vr": "UI", "Value": [new_uid()]},
        "0020000E": {"vr": "UI", "Value": [new_uid()]},
    }
    added = {name.removeprefix("x"): element for name, element in values.items()}
    return {tag: element for tag, element in (made | added).items() if element is not None}


def _image(frames: int = 1, **values: Any) -> dict[str, Any]:
    """Return the metadata of an image of 2 x 2 pixels of 8 bits, whose pixel data is at the URI `bulk/1`."""
    numbers = {"00280002": 1, "00280010": 2, "00280011": 2, "00280100": 8, "00280101": 8, "00280102": 7, "00280103": 0}
    described: dict[str, Any] = {f"x{tag}": {"vr": "US", "Value": [number]} for tag, number in numbers.items()}
    described["x00280004"] = {"vr": "CS", "Value": ["MONOCHROME2"]}
    described["x00280008"] = {"vr": "IS", "Value": [frames]}
    described["x7FE00010"] = {"vr": "OB", "BulkDataURI": "bulk/1"}
    return _metadata(**(described | values))


def _multipart(kind: str, *parts: tuple[str, bytes]) -> tuple[bytes, str]:
    """Return a body of parts with header lines, and its Content-Type."""
    pieces = [f"--b\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts]
    return b"".join([*pieces, b"--b--\r\n"]), f'multipart/related; type="{kind}"; boundary=b'


def _json(*datasets: Mapping[str, Any]) -> tuple[str, bytes]:
    return f"Content-Type: {_JSON}", json.dumps(datasets).encode()


def _xml(dataset: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the part of one data set in the Native DICOM Model, written here for what these tests need of it."""
    written = "".join(_attribute(tag, element) for tag, element in sorted(dataset.items()))
    return (
        f"Content-Type: {_XML}",
        f'<NativeDicomModel xmlns="{_NAMESPACE[1:-1]}">{written}</NativeDicomModel>'.encode(),
    )


def _attribute(tag: str, element: Mapping[str, Any]) -> str:
    inner = f'<BulkData uri="{element["BulkDataURI"]}"/>' if "BulkDataURI" in element else ""
    inner += f"<InlineBinary>{element['InlineBinary']}</InlineBinary>" if "InlineBinary" in element else ""
    for number, value in enumerate(element.get("Value", []), 1):
        if isinstance(value, dict):
            family, given = value["Alphabetic"].split("^")
            name = f"<FamilyName>{family}</FamilyName><GivenName>{given}</GivenName>"
            inner += f'<PersonName number="{number}"><Alphabetic>{name}</Alphabetic></PersonName>'
        else:
            inner += f'<Value number="{number}">{value}</Value>'
    return f'<DicomAttribute tag="{tag}" vr="{element["vr"]}">{inner}</DicomAttribute>'


def _stored_file(client: Client, dataset: Mapping[str, Any]) -> Dataset:
    [file] = client.files(f"/studies/{dataset['0020000D']['Value'][0]}")
    return dcmread(io.BytesIO(file))


_KINDS = pytest.mark.parametrize(("kind", "write"), [(_JSON, _json), (_XML, _xml)], ids=["JSON", "XML"])
_PIXELS = bytes(range(4))


@_KINDS
def test_metadata_alone(plain: Client, kind: str, write: Any) -> None:
    """Metadata without bulk data is stored, as parts or as the whole body; the file is explicit VR little endian."""
    first, second = _metadata(), _metadata()

    answers = [plain.post(*_multipart(kind, write(first))), plain.post(write(second)[1], kind)]

    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    for one, answer in zip((first, second), answers, strict=True):
        assert stored(answer) == one["00080018"]["Value"]
        file = _stored_file(plain, one)
        assert file.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert file.file_meta.MediaStorageSOPInstanceUID == one["00080018"]["Value"][0]
        assert file.PatientName == "Doe^John"
        [shown] = plain.metadata(f"/studies/{one['0020000D']['Value'][0]}")
        assert {tag: shown[tag] for tag in one} == one


@_KINDS
def test_bulk_data(plain: Client, kind: str, write: Any) -> None:
    """Bulk data is found by the Content-Location of its part (PS3.18 §8.6.1)."""
    dataset = _image()

    answer = plain.post(
        *_multipart(
            kind, write(dataset), ("Content-Type: application/octet-stream\r\nContent-Location: bulk/1", _PIXELS)
        )
    )

    assert answer.status_code == 200, answer.text
    assert _stored_file(plain, dataset).PixelData == _PIXELS


@_KINDS
@pytest.mark.parametrize(
    ("uri", "head"),
    [
        pytest.param(
            "http://x/studies/1/bulk/1", "Content-Location: http://x/studies/1/bulk/1", id="absolute location"
        ),
        pytest.param("cid:1@x", "Content-ID: <1@x>", id="content id"),
        pytest.param("cid:1@x", "Content-ID: 1@x", id="content id without brackets"),
    ],
)
def test_reference(plain: Client, kind: str, write: Any, uri: str, head: str) -> None:
    """A BulkDataURI names a part by its Content-Location, absolute or relative, or by cid: and its Content-ID."""
    dataset = _image(x7FE00010={"vr": "OB", "BulkDataURI": uri})

    answer = plain.post(
        *_multipart(kind, write(dataset), (f"Content-Type: application/octet-stream\r\n{head}", _PIXELS))
    )

    assert answer.status_code == 200, answer.text
    assert _stored_file(plain, dataset).PixelData == _PIXELS


@_KINDS
def test_inline_binary(plain: Client, kind: str, write: Any) -> None:
    """InlineBinary is bulk data in the metadata itself (PS3.18 §F.2.7)."""
    dataset = _image(x7FE00010={"vr": "OB", "InlineBinary": base64.b64encode(_PIXELS).decode()})

    answer = plain.post(*_multipart(kind, write(dataset)))

    assert answer.status_code == 200, answer.text
    assert _stored_file(plain, dataset).PixelData == _PIXELS


_FRAMES = [b"\xff\xd8\xff\xe0one!\xff\xd9", b"\xff\xd8\xff\xe0two!\xff\xd9"]


@_KINDS
@pytest.mark.parametrize(
    ("frames", "media_type", "syntax"),
    [
        pytest.param(_FRAMES[:1], f"image/jpeg; transfer-syntax={_JPEG}", _JPEG, id="jpeg"),
        pytest.param(_FRAMES, f"image/jpeg; transfer-syntax={_JPEG}", _JPEG, id="two frames"),
        pytest.param([b"lossless"], "image/jp2", "1.2.840.10008.1.2.4.90", id="default of the media type"),
        pytest.param([b"run lengths!"], "image/dicom-rle", "1.2.840.10008.1.2.5", id="rle"),
    ],
)
def test_compressed(
    plain: Client, kind: str, write: Any, frames: Sequence[bytes], media_type: str, syntax: str
) -> None:
    """Compressed pixel data is encapsulated in the transfer syntax that its part says (PS3.18 §8.7.3.3)."""
    dataset = _image(len(frames))
    head = f"Content-Type: {media_type}\r\nContent-Location: bulk/1"

    answer = plain.post(*_multipart(kind, write(dataset), *((head, frame) for frame in frames)))

    assert answer.status_code == 200, answer.text
    file = _stored_file(plain, dataset)
    assert file.file_meta.TransferSyntaxUID == syntax
    assert all(frame in file.PixelData for frame in frames)
    assert file["PixelData"].is_undefined_length


def test_several_instances(plain: Client) -> None:
    """One request describes several instances; each stands or falls by itself and keeps its place."""
    datasets = [_metadata(), _metadata(x0020000E=None), _image(), _image(x7FE00010={"vr": "OB", "BulkDataURI": "gone"})]
    bulk = ("Content-Type: application/octet-stream\r\nContent-Location: bulk/1", _PIXELS)

    answer = plain.post(*_multipart(_JSON, _json(*datasets), bulk))

    assert answer.status_code == 202, answer.text
    assert stored(answer) == [dataset["00080018"]["Value"][0] for dataset in (datasets[0], datasets[2])]
    assert reasons(answer) == [43264, 43264]
    assert named(answer)[0] == "(0020,000e)"


@pytest.mark.parametrize(
    "name", ["Buc^Jérôme", "Жданов^Иван", "山田^太郎", "홍^길동", "Διονυσιος", "שרון^דבורה", "قباني^لنزار"]
)
def test_text(plain: Client, name: str) -> None:
    """Text of any language is stored as UTF-8, and the data set says so (PS3.5 §6.1)."""
    dataset = _metadata(x00100010={"vr": "PN", "Value": [{"Alphabetic": name}]})

    answer = plain.post(*_multipart(_JSON, _json(dataset)))

    assert answer.status_code == 200, answer.text
    assert _stored_file(plain, dataset).SpecificCharacterSet == "ISO_IR 192"
    [shown] = plain.metadata(f"/studies/{dataset['0020000D']['Value'][0]}")
    assert shown["00100010"]["Value"] == [{"Alphabetic": name}]


def test_replace(plain: Client) -> None:
    """PUT takes metadata and bulk data as POST does."""
    first, second = _metadata(), {}
    second = first | {"00100020": {"vr": "LO", "Value": ["P2"]}}
    plain.post(*_multipart(_JSON, _json(first)))

    answer = plain.post(*_multipart(_JSON, _json(second)), method="PUT")

    assert answer.status_code == 200
    assert _stored_file(plain, first).PatientID == "P2"


def test_validation(plain: Client) -> None:
    """What is composed is checked as files are (store.md, "Validation of values")."""
    answer = plain.post(*_multipart(_JSON, _json(_metadata(x00080020={"vr": "DA", "Value": ["tomorrow"]}))))

    if plain.version == "v2":
        assert (answer.status_code, warnings(answer), named(answer)) == (202, [1], ["(0008,0020)"])
    else:
        assert (answer.status_code, reasons(answer), named(answer)) == (409, [43264], ["(0008,0020)"])


_BULK = ("Content-Type: application/octet-stream\r\nContent-Location: bulk/1", b"1234")


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        pytest.param([(f"Content-Type: {_JSON}", b"{no json")], 400, id="no JSON"),
        pytest.param([(f"Content-Type: {_JSON}", b'["x"]')], 400, id="no data sets"),
        pytest.param([_json(_metadata()), _BULK], 400, id="bulk data that nothing refers to"),
        pytest.param([("Content-Type: text/plain", b"x")], 415, id="first part of another type"),
        pytest.param([_xml(_metadata())], 415, id="XML in a request of JSON"),
        pytest.param([_json(_metadata()), ("Content-Type: application/dicom", b"x")], 415, id="a file among them"),
        pytest.param([_json(_image())], 409, id="bulk data is missing"),
        pytest.param([_json(_metadata(x00080020={"Value": ["20240101"]}))], 409, id="no vr"),
        pytest.param([_json(_metadata(x00280010={"vr": "US", "Value": [70000]}))], 409, id="value out of range"),
        pytest.param([_json()], 204, id="no data sets at all"),
    ],
)
def test_bad(plain: Client, parts: list[tuple[str, bytes]], status: int) -> None:
    """A request that cannot be read as a whole is refused; an instance that cannot be composed fails with 43264."""
    answer = plain.post(*_multipart(_JSON, *parts))

    assert answer.status_code == status, answer.text
    if status == 409:
        assert reasons(answer) == [43264]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"<NativeDicomModel", id="not well-formed"),
        pytest.param(b"<other/>", id="another document"),
        pytest.param(b'<!DOCTYPE x [<!ENTITY e "e">]><NativeDicomModel/>', id="entities"),
    ],
)
def test_bad_xml(plain: Client, document: bytes) -> None:
    """XML that is no Native DICOM Model, or declares entities, is 400."""
    assert plain.post(document, _XML).status_code == 400


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (_XML, _XML),
        (f"{_XML};q=0.9, {_JSON};q=0.8", _XML),
        (f"{_JSON}, {_XML}", _JSON),
        ("*/*", _JSON),
        (f'multipart/related; type="{_XML}"', _XML),
    ],
)
def test_answer(plain: Client, accept: str, media_type: str) -> None:
    """The response is in JSON or XML as Accept wants it (PS3.18 §10.5.3)."""
    body, content_type = _multipart("application/dicom", ("Content-Type: application/dicom", part10()))

    answer = plain.post(body, content_type, Accept=accept)

    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)


def test_answer_in_xml(plain: Client) -> None:
    """The XML of a response is the Native DICOM Model of what the JSON holds (PS3.19 §A.1)."""
    body, content_type = _multipart(
        "application/dicom", ("Content-Type: application/dicom", part10(SeriesInstanceUID=None))
    )

    answer = plain.post(body, content_type, Accept=_XML)

    assert answer.status_code == 409
    # The service's own answer, not a stranger's document.
    root = ET.fromstring(answer.content)  # noqa: S314
    assert root.tag == f"{_NAMESPACE}NativeDicomModel"
    [failed] = root
    assert (failed.get("tag"), failed.get("vr"), failed.get("keyword")) == ("00081198", "SQ", "FailedSOPSequence")
    reason = failed.find(f"{_NAMESPACE}Item/{_NAMESPACE}DicomAttribute[@tag='00081197']/{_NAMESPACE}Value")
    assert reason is not None
    assert reason.text == "43264"
