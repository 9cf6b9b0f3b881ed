"""Bulk data over HTTP (PS3.18 §10.4.1.1.5): by the path of a BulkDataURI, whole and in ranges, for browsers too."""

import numpy as np
import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit

from tests.e2e.client import Client
from tests.factories import dataset, file_of, part10

_BIG = bytes(range(256)) * 20


def _path(client: Client, file: bytes) -> str:
    answer = client.store(file)
    assert answer.status_code in {200, 202}, answer.text
    url: str = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
    return url


def _with_bulk() -> bytes:
    made = dataset(WaveformSequence=Sequence([Dataset(), Dataset()]))
    made.WaveformSequence[1].WaveformBitsAllocated = 16
    made.WaveformSequence[1].WaveformData = _BIG
    made.WaveformSequence[1]["WaveformData"].VR = "OW"
    made.ICCProfile = _BIG[:3000]
    made.add_new(0x00091001, "OB", b"tiny")
    made.add_new(0x00090010, "LO", "TEST")
    return file_of(made)


VALUES = {"00282000": _BIG[:3000], "54000100/2/54001010": _BIG, "00091001": b"tiny"}


@pytest.mark.parametrize("path", VALUES)
@pytest.mark.parametrize("accept", ["*/*", "application/octet-stream", "application/octet-stream; transfer-syntax=*"])
def test_single_part(client: Client, path: str, accept: str) -> None:
    """A binary value comes as it is, nested ones too, alone unless a multipart body is asked for."""
    instance = _path(client, _with_bulk())

    answer = client.get(f"{instance}/bulkdata/{path}", accept)

    assert (answer.status_code, answer.content) == (200, VALUES[path])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(VALUES[path]))


@pytest.mark.parametrize(
    "accept", ['multipart/related; type="application/octet-stream"', 'multipart/related; type="*/*"']
)
def test_multipart(client: Client, accept: str) -> None:
    """The same as the only part of a multipart body (clients.md: dicomweb-client)."""
    instance = _path(client, _with_bulk())

    answer = client.get(f"{instance}/bulkdata/00282000", accept)

    head, content = answer.content.split(b"\r\n\r\n", 1)
    assert answer.status_code == 200
    assert b"Content-Type: application/octet-stream\r\n" in head
    assert content.startswith(_BIG[:3000] + b"\r\n--")


@pytest.mark.parametrize(
    ("wanted", "first", "last"), [("bytes=0-9", 0, 9), ("bytes=2990-", 2990, 2999), ("bytes=-5", 2995, 2999)]
)
def test_range(client: Client, wanted: str, first: int, last: int) -> None:
    """A range comes as 206 with its place (RFC 9110 §14)."""
    instance = _path(client, _with_bulk())

    answer = client.http.get(f"{instance}/bulkdata/00282000", headers={"Range": wanted})

    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/3000"
    assert answer.content == _BIG[first : last + 1]


@pytest.mark.parametrize(("first", "last"), [(0, 9), (1, 8), (3, 3), (5115, 5119)])
def test_range_of_numbers(client: Client, first: int, last: int) -> None:
    """A range of a big endian file's numbers is a part of the whole value, which is in little endian."""
    made = dataset(WaveformSequence=Sequence([Dataset()]))
    made.WaveformSequence[0].WaveformData = _BIG
    made.WaveformSequence[0]["WaveformData"].VR = "OW"
    path = f"{_path(client, file_of(made, ExplicitVRBigEndian))}/bulkdata/54000100/1/54001010"

    whole = client.get(path, "*/*").content
    part = client.http.get(path, headers={"Range": f"bytes={first}-{last}"}).content

    assert whole == np.frombuffer(_BIG, "<u2").byteswap().tobytes()
    assert part == whole[first : last + 1]


def test_wide_pixels(client: Client) -> None:
    """Pixels of 32 bits of a big endian file are turned as a whole, as their frames are."""
    made = dataset(Rows=2, Columns=2, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2")
    made.BitsAllocated = made.BitsStored = 32
    made.HighBit, made.PixelRepresentation = 31, 0
    made.PixelData = np.array([1, 2, 3, 2**31], ">u4").tobytes()
    made["PixelData"].VR = "OW"
    instance = _path(client, file_of(made, ExplicitVRBigEndian))

    found = client.get(f"{instance}/bulkdata/7FE00010", "*/*").content

    assert found == np.array([1, 2, 3, 2**31], "<u4").tobytes()


def test_behind_pixels(client: Client) -> None:
    """A binary value behind the pixel data is there too, native and encapsulated."""
    for syntax in (ExplicitVRLittleEndian, JPEGBaseline8Bit):
        file = part10(transfer_syntax=syntax, pixel_bytes=300_000, DataSetTrailingPadding=_BIG)
        path = _path(client, file)
        assert client.get(f"{path}/bulkdata/FFFCFFFC", "*/*").content == _BIG


def test_range_behind_end(client: Client) -> None:
    """A range that begins behind the end is 416, which says how long the value is."""
    instance = _path(client, _with_bulk())

    answer = client.http.get(f"{instance}/bulkdata/00282000", headers={"Range": "bytes=3000-"})

    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */3000")


def test_unchanged(client: Client) -> None:
    """What the client has is 304; HEAD tells the length without a body."""
    url = f"{_path(client, _with_bulk())}/bulkdata/00282000"
    tag = client.get(url).headers["etag"]

    assert client.http.get(url, headers={"If-None-Match": tag}).status_code == 304
    head = client.http.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "3000", b"")


@pytest.mark.parametrize(
    "path", ["00282001", "00100010", "54000100/1/54001010", "54000100/3/54001010", "x", "54000100"]
)
def test_missing(client: Client, path: str) -> None:
    """Where there is no binary value the answer is 404."""
    assert client.get(f"{_path(client, _with_bulk())}/bulkdata/{path}").status_code == 404


@pytest.mark.parametrize("padding", [0, 1])
def test_document(client: Client, padding: int) -> None:
    """An encapsulated document has its own media type and its own length, so that a browser shows it."""
    document = b"%PDF-1.7 " + bytes(4001 - padding)
    made = dataset(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1",
        MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocument=document + bytes(padding),
        EncapsulatedDocumentLength=len(document),
    )
    url = f"{_path(client, file_of(made))}/bulkdata/00420011"

    answer = client.get(url, "text/html, */*;q=0.8")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.content == document
    several = 'multipart/related; type="application/pdf", multipart/related; type="application/octet-stream"'
    assert b"\r\nContent-Type: application/pdf\r\n" in client.get(url, several).content
    assert client.get(url, "image/png").status_code == 406


def test_pixel_data(client: Client) -> None:
    """Native pixel data is one value; compressed pixel data has a part for each frame in its own media type."""
    native = part10(pixel_bytes=4000)
    video = part10(transfer_syntax="1.2.840.10008.1.2.4.102", pixel_bytes=5000)

    assert client.get(f"{_path(client, native)}/bulkdata/7FE00010").content == native[-4000:]
    answer = client.http.get(f"{_path(client, video)}/bulkdata/7fe00010", headers={"Range": "bytes=100-199"})
    assert (answer.status_code, len(answer.content)) == (206, 100)
    assert answer.headers["content-type"] == "video/mp4; transfer-syntax=1.2.840.10008.1.2.4.102"
