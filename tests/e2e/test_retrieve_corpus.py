"""Real files: every frame, picture, bulk value and transfer syntax that they can be had in equals pydicom's reading."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.pixels.utils import pixel_array

from tests.e2e.client import Client
from tests.e2e.conftest import Service

_FOLDER = Path(__file__).parents[3] / "shared" / "data" / "corpus"
_TARGETS = {
    "explicit": "1.2.840.10008.1.2.1",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "HTJ2K": "1.2.840.10008.1.2.4.201",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "RLE": "1.2.840.10008.1.2.5",
}
_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_IMAGE_GROUP = 0x0028
_LOSSY_ERROR = 3
"""Between decoders of lossy JPEG: each rounds the inverse transform, and colours, in its own way."""
_UNDECODED = {
    "invalid/badVR.dcm": "Number of Frames is no number",
    "video/mpeg4-avc.dcm": "a video is no frame",
    "hostile/frames-2g.dcm": "two thousand million frames",
}
"""Files with pixel data that is given as stored alone, and why."""


def _files() -> list[str]:
    """Return the files that can be stored; none where the folder is absent, which `corpus` reports as a skip."""
    if not _FOLDER.is_dir():
        return ["absent"]
    with (_FOLDER / "manifest.csv").open(newline="") as rows:
        return [row["file"] for row in csv.DictReader(rows) if row["expect"] == "store"]


@pytest.fixture
def stored(service: Service, corpus: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Client, str, bytes]]:
    """A client, the path of a stored file, and the file; it is removed afterwards, since some share their UIDs."""
    file = (corpus / "corpus" / request.param).read_bytes()
    with httpx.Client(base_url=service.base("v2"), timeout=120) as http:
        client = Client(http)
        answer = client.post(file, "application/dicom")
        assert answer.status_code in {200, 202}, answer.text
        path = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
        yield client, path, file
        assert http.delete(path).status_code == 204


def _pixels(file: bytes) -> Any:
    """Return a file's pixels as pydicom decodes them, None where it does not; colours of JPEG as RGB."""
    found = pydicom.dcmread(io.BytesIO(file), force=True)
    try:
        return pixel_array(found, raw=found.file_meta.get("TransferSyntaxUID") not in _LOSSY)
    except Exception:  # noqa: BLE001 - whatever its plugins raise: nothing to compare with
        return None


def _has_pixels(file: bytes) -> bool:
    found = pydicom.dcmread(io.BytesIO(file), force=True)
    return any(name in found for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))


def _tags(found: pydicom.Dataset) -> list[int]:
    """Return the tags below the image's own groups, group lengths aside."""
    return [int(one.tag) for one in found if one.tag.group < _IMAGE_GROUP and one.tag.element]


def _same(found: Any, expected: Any, file: bytes) -> bool:
    syntax = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True, force=True).file_meta.get("TransferSyntaxUID")
    error = _LOSSY_ERROR if syntax in _LOSSY else 0
    return bool(found.shape == expected.shape and np.abs(found.astype("f8") - expected.astype("f8")).max() <= error)


@pytest.mark.parametrize("stored", _files(), indirect=True)
def test_transcoded(stored: tuple[Client, str, bytes], request: pytest.FixtureRequest) -> None:
    """In each transfer syntax that a file can be had in, pydicom reads the same pixels, and the same other elements."""
    client, path, file = stored
    name = request.node.callspec.params["stored"]
    expected = _pixels(file) if _has_pixels(file) else None
    for syntax in _TARGETS.values():
        answer = client.get(path, f"application/dicom; transfer-syntax={syntax}")
        if answer.status_code == 406:
            assert syntax != _TARGETS["explicit"] or name in _UNDECODED, answer.text
            continue
        found = pydicom.dcmread(io.BytesIO(answer.content))
        before = pydicom.dcmread(io.BytesIO(file), force=True)
        assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={syntax}"
        assert _tags(found) == _tags(before)
        if expected is not None:
            assert _same(pixel_array(found, raw=True), expected, file), syntax


@pytest.mark.parametrize("stored", _files(), indirect=True)
def test_frames(stored: tuple[Client, str, bytes], request: pytest.FixtureRequest) -> None:
    """Every frame equals the same frame of the whole, as explicit VR little endian has it (retrieve.md, "Frames")."""
    client, path, file = stored
    answer = client.get(f"{path}/frames/1", "application/octet-stream")
    if not _has_pixels(file):
        assert answer.status_code == 404
        return
    if request.node.callspec.params["stored"] in _UNDECODED and answer.status_code == 406:
        return
    assert answer.status_code == 200, answer.text
    whole = client.get(path, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1")
    if whole.status_code != 200:
        return
    found = pydicom.dcmread(io.BytesIO(whole.content))
    count = min(int(found.get("NumberOfFrames") or 1), 40)
    numbers = ",".join(map(str, range(1, count + 1)))
    frames = _parts(client.get(f"{path}/frames/{numbers}", 'multipart/related; type="application/octet-stream"'))
    pixels = next(found[name].value for name in _PIXELS if name in found)
    assert len(frames) == count
    if int(found.get("BitsAllocated") or 32) > 1:
        assert pixels.startswith(b"".join(frames))


_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@pytest.mark.parametrize("stored", _files(), indirect=True)
def test_shown(stored: tuple[Client, str, bytes], request: pytest.FixtureRequest) -> None:
    """What has pixel data is shown, or 406 where they cannot be decoded; every BulkDataURI leads to its value."""
    client, path, file = stored
    answer = client.get(f"{path}/rendered")
    if _has_pixels(file) and request.node.callspec.params["stored"] not in _UNDECODED:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    else:
        assert answer.status_code in {200, 206, 404, 406}
    [metadata] = client.metadata(path)
    for url in re.findall(r'"BulkDataURI":"([^"]+)"', orjson.dumps(metadata).decode()):
        assert client.get(url).status_code == 200, url


def _parts(answer: httpx.Response) -> list[bytes]:
    assert answer.status_code == 200, answer.text
    boundary = answer.headers["content-type"].partition("boundary=")[2]
    _, *parts, _ = (b"\r\n" + answer.content).split(f"\r\n--{boundary}".encode())
    return [part.split(b"\r\n\r\n", 1)[1] for part in parts]


@pytest.mark.parametrize("stored", _files(), indirect=True)
def test_dicomweb_client(stored: tuple[Client, str, bytes]) -> None:
    """The PyPI client retrieves a file by study, series and instance, its metadata, frames and bulk data, as it was."""
    client, path, file = stored
    names = path.removeprefix(str(client.http.base_url).rstrip("/")).strip("/").split("/")
    study, series, instance = names[1::2]
    web = DICOMwebClient(url=str(client.http.base_url).rstrip("/"))
    as_stored = (("application/dicom", "*"),)
    expected = _without_group_lengths(pydicom.dcmread(io.BytesIO(file), force=True))

    for found in (
        web.retrieve_study(study, media_types=as_stored),
        web.retrieve_series(study, series, media_types=as_stored),
        [web.retrieve_instance(study, series, instance, media_types=as_stored)],
    ):
        assert [_without_group_lengths(one) == expected for one in found] == [True]
    [metadata] = web.retrieve_study_metadata(study)
    assert metadata == web.retrieve_instance_metadata(study, series, instance)
    assert metadata["00080018"]["Value"] == [instance]
    # This client sends Host without the port, so that it needs PUBLIC_URL to follow URLs (clients.md).
    for tag, element in client.metadata(path)[0].items():
        if "BulkDataURI" in element and tag not in _PIXEL_TAGS:
            assert b"".join(web.retrieve_bulkdata(element["BulkDataURI"])).rstrip(b"\0") in file
    if "PixelData" in expected:
        [frame] = web.retrieve_instance_frames(study, series, instance, [1], media_types=(_ANY_FRAME,))
        assert frame == client.get(f"{path}/frames/1", "application/octet-stream; transfer-syntax=*").content


_PIXEL_TAGS = {"7FE00008", "7FE00009", "7FE00010"}
_ANY_FRAME = ("application/octet-stream", "*")


def _without_group_lengths(found: pydicom.Dataset) -> pydicom.Dataset:
    for tag in [one.tag for one in found if not one.tag.element]:
        del found[tag]
    return found
