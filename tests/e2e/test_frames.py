"""Frames over HTTP (PS3.18 §10.4.1.1.6; retrieve.md, "Frames"): as stored, in another form, what is refused."""

import re
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian

from tests.e2e.client import Client
from tests.factories import dataset, file_of, new_uid

_MULTIPART = 'multipart/related; type="application/octet-stream"'
_ANY = f"{_MULTIPART}; transfer-syntax=*"
_JPEG = "1.2.840.10008.1.2.4.50"


def _image(*, frames: int, rows: int = 4, columns: int = 6, bits: int = 16, **attributes: Any) -> Any:
    return dataset(
        Rows=rows,
        Columns=columns,
        BitsAllocated=bits,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=0,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        NumberOfFrames=frames,
        **attributes,
    )


def _native(frames: list[bytes], **attributes: Any) -> bytes:
    made = _image(frames=len(frames), **attributes)
    made.PixelData = b"".join(frames)
    made["PixelData"].VR = "OW"
    return file_of(made)


def _compressed(frames: list[list[bytes]]) -> bytes:
    """A file whose frames have several fragments each; what they hold is no codestream."""
    made = _image(frames=len(frames), bits=8)
    offsets, fragments = [], b""
    for frame in frames:
        offsets.append(len(fragments).to_bytes(4, "little"))
        for fragment in frame:
            fragments += b"\xfe\xff\x00\xe0" + len(fragment).to_bytes(4, "little") + fragment
    table = b"".join(offsets)
    made.PixelData = b"\xfe\xff\x00\xe0" + len(table).to_bytes(4, "little") + table + fragments
    made.PixelData += b"\xfe\xff\xdd\xe0\0\0\0\0"
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return file_of(made, _JPEG)


def _path(client: Client, file: bytes) -> str:
    answer = client.store(file)
    assert answer.status_code in {200, 202}, answer.text
    url: str = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
    return url


def _parts(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """Return the media type and content of each part."""
    assert answer.status_code == 200, answer.text
    boundary = re.search(r"boundary=(\w+)", answer.headers["content-type"])
    assert boundary is not None
    _, *parts, _ = (b"\r\n" + answer.content).split(f"\r\n--{boundary[1]}".encode())
    found = []
    for part in parts:
        head, content = part.split(b"\r\n\r\n", 1)
        media_type = re.match(rb"\r\nContent-Type: ([^\r]+)\r\n", head)
        assert media_type is not None, head
        found.append((media_type[1].decode(), content))
    return found


FRAMES = [bytes([number]) * 48 for number in range(5)]


@pytest.mark.parametrize("asked", ["1", "5", "1,2,3", "3,1,2", "2,2,5", "1%2C4", "5,4,3,2,1"])
def test_native(client: Client, asked: str) -> None:
    """Frames come in the order asked for, repeated ones too, each a part with its transfer syntax."""
    path = _path(client, _native(FRAMES))

    parts = _parts(client.get(f"{path}/frames/{asked}", _ANY))

    assert [content for _, content in parts] == [
        FRAMES[int(number) - 1] for number in asked.replace("%2C", ",").split(",")
    ]
    assert {kind for kind, _ in parts} == {"application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"}


def test_single_part(client: Client) -> None:
    """One frame can be had alone, with its length; several cannot: 400 (retrieve.md)."""
    path = _path(client, _native(FRAMES))

    answer = client.get(f"{path}/frames/2", "application/octet-stream")

    assert (answer.status_code, answer.content) == (200, FRAMES[1])
    assert answer.headers["content-type"] == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    assert answer.headers["content-length"] == "48"
    assert client.get(f"{path}/frames/1,2", "application/octet-stream").status_code == 400


def test_fragments(client: Client) -> None:
    """The fragments of a frame are joined, without item tags; the part names the stored transfer syntax."""
    frames = [[b"a" * 10, b"b" * 20], [b"c" * 6], [b"d" * 2, b"e" * 4, b"f" * 8]]
    path = _path(client, _compressed(frames))

    parts = _parts(client.get(f"{path}/frames/3,1", _ANY))

    assert parts == [
        (f"application/octet-stream; transfer-syntax={_JPEG}", b"dd" + b"e" * 4 + b"f" * 8),
        (f"application/octet-stream; transfer-syntax={_JPEG}", b"a" * 10 + b"b" * 20),
    ]
    [(kind, content)] = _parts(client.get(f"{path}/frames/2", 'multipart/related; type="image/jpeg"'))
    assert (kind, content) == (f"image/jpeg; transfer-syntax={_JPEG}", b"c" * 6)


def test_whole_slide(plain: Client) -> None:
    """Frames beyond the first page of the frame table are found too."""
    frames = [[number.to_bytes(4, "little")] for number in range(2100)]
    path = _path(plain, _compressed(frames))

    parts = _parts(plain.get(f"{path}/frames/1,1024,1025,2100", _ANY))

    assert [content for _, content in parts] == [frames[number - 1][0] for number in (1, 1024, 1025, 2100)]


def test_bits(plain: Client) -> None:
    """Frames of one bit a pixel that begin within a byte are moved to its start (PS3.5 §8.1.1)."""
    made = _image(frames=3, rows=3, columns=3, bits=1)
    pixels = [0b101010101, 0b000111000, 0b111000111]
    packed = sum(frame << 9 * number for number, frame in enumerate(pixels))
    made.PixelData = packed.to_bytes(4, "little")
    made["PixelData"].VR = "OB"
    path = _path(plain, file_of(made))

    parts = _parts(plain.get(f"{path}/frames/1,2,3", _ANY))

    assert [int.from_bytes(content, "little") for _, content in parts] == pixels


@pytest.mark.parametrize("asked", ["0", "-1", "1,-1", "0,1", "a", "1,", ",1", "1,,2", "1.5", "+1", " 1"])
def test_no_numbers(client: Client, asked: str) -> None:
    """What is no list of numbers from 1 on is 400, before anything is looked up."""
    path = f"/studies/{new_uid()}/series/{new_uid()}/instances/{new_uid()}"

    assert client.get(f"{path}/frames/{asked}", _ANY).status_code == 400


@pytest.mark.parametrize("asked", ["6", "1,6", "999999999"])
def test_beyond(client: Client, asked: str) -> None:
    """A frame that the instance does not have makes the whole request 404, as do no pixel data and no instance."""
    path = _path(client, _native(FRAMES))

    assert client.get(f"{path}/frames/{asked}", _ANY).status_code == 404
    assert client.get(f"{_path(client, file_of(dataset()))}/frames/1", _ANY).status_code == 404
    assert client.get(f"{path[:-1]}/frames/1", _ANY).status_code == 404


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "application/dicom",
        'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.50',
        f'multipart/related; type="image/jpeg"; transfer-syntax={_JPEG}',
        f"{_MULTIPART}; transfer-syntax=1.2.840.10008.1.2.4.100",
    ],
)
def test_not_acceptable(client: Client, accept: str) -> None:
    """What native frames cannot be given as is 406 and never something else: no lossy JPEG is made (clients.md)."""
    path = _path(client, _native(FRAMES))

    assert client.get(f"{path}/frames/1", accept).status_code == 406


def test_no_codestream(client: Client) -> None:
    """Pixel data that no decoder reads comes as stored, and is 406 in any other form."""
    path = _path(client, _compressed([[b"no codestream "]]))

    assert client.get(f"{path}/frames/1", _ANY).status_code == 200
    assert client.get(f"{path}/frames/1", _MULTIPART).status_code == 406


def _segmentation(**attributes: Any) -> bytes:
    made = _image(frames=1, bits=1, **attributes)
    made.PixelData = b"\x0f\xf0\x0f\x00"
    made["PixelData"].VR = "OB"
    return file_of(made)


_JP2 = "transfer-syntax=1.2.840.10008.1.2.4.90"


def test_second_wish(client: Client) -> None:
    """What cannot be had in the form that is wanted most comes in the next one (RFC 9110 §12.5.1)."""
    path = _path(client, _segmentation())

    instance = client.get(path, f"application/dicom; {_JP2}, application/dicom; q=0.5")
    frame = client.get(f"{path}/frames/1", f"image/jp2; {_JP2}, application/octet-stream; q=0.5")
    refused = client.get(path, f"application/dicom; {_JP2}")

    assert (instance.status_code, instance.content[128:132]) == (200, b"DICM")
    assert instance.headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    assert (frame.status_code, frame.content) == (200, b"\x0f\xf0\x0f")
    assert refused.status_code == 406


def test_one_of_several(client: Client) -> None:
    """One of several that cannot be had in a transfer syntax comes as it is stored: the answer never breaks off."""
    study = new_uid()
    image = _native([bytes(range(48))], StudyInstanceUID=study)
    assert client.store(image, _segmentation(StudyInstanceUID=study)).status_code == 200

    answer = client.get(f"/studies/{study}", f'multipart/related; type="application/dicom"; {_JP2}')

    assert answer.status_code == 200
    given = re.findall(rb"Content-Type: application/dicom; transfer-syntax=([0-9.]+)", answer.content)
    assert given == [b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.1"]


@pytest.mark.parametrize("accept", ["image/*", 'multipart/related; type="application/octet-stream"; q=0, image/*'])
def test_any_image(client: Client, accept: str) -> None:
    """A range of images is met by what is stored, where that is one (RFC 9110 §12.5.1)."""
    path = _path(client, _compressed([[b"one frame!"]]))

    answer = client.get(f"{path}/frames/1", accept)

    assert (answer.status_code, answer.content) == (200, b"one frame!")
    assert answer.headers["content-type"] == f"image/jpeg; transfer-syntax={_JPEG}"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("image/jpeg", 200),
        (f"application/octet-stream; transfer-syntax={_JPEG}", 200),
        ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1", 406),
        ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1, image/jpeg; q=0.1", 200),
    ],
)
def test_pixels_as_bulk_data(client: Client, accept: str, status: int) -> None:
    """Compressed pixel data is bulk data in its own transfer syntax, and in no other."""
    path = _path(client, _compressed([[b"one frame!"]]))

    assert client.get(f"{path}/bulkdata/7FE00010", accept).status_code == status


def test_big_endian(client: Client) -> None:
    """Frames as octets are in little endian, also where any transfer syntax will do (PS3.18 §8.7.3.3)."""
    made = _image(frames=1)
    made.PixelData = np.arange(24, dtype=">u2").tobytes()
    made["PixelData"].VR = "OW"
    path = _path(client, file_of(made, ExplicitVRBigEndian))

    answer = client.get(f"{path}/frames/1", "application/octet-stream; transfer-syntax=*")

    assert answer.content == np.arange(24, dtype="<u2").tobytes()
    assert answer.headers["content-type"] == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"


@pytest.mark.parametrize("rest", ["/frames/1", "/frames/2,1", ""])
@pytest.mark.parametrize("kind", ["multipart/related; type={}; transfer-syntax=*", "{}; transfer-syntax=*"])
def test_unchanged(client: Client, rest: str, kind: str) -> None:
    """Who has an answer already is told so, until the instance is another (RFC 9110 §13.1.2)."""
    if "2,1" in rest and "multipart" not in kind:
        pytest.skip("two frames are never a single part")
    uids = {name: new_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    path = _path(client, _native([bytes(48), bytes(48)], **uids)) + rest
    accept = kind.format("application/octet-stream" if rest else "application/dicom")
    tag = client.get(path, accept).headers["etag"]

    same = client.http.get(path, headers={"Accept": accept, "If-None-Match": tag})
    assert client.upsert(_native([bytes(48), bytes([1]) * 48], **uids)).status_code == 200
    other = client.http.get(path, headers={"Accept": accept, "If-None-Match": tag})

    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert (other.status_code, other.headers["etag"] != tag) == (200, True)


def test_unchanged_study(client: Client) -> None:
    """A study is another when an instance has come or gone."""
    study, accept = new_uid(), "multipart/related; type=application/dicom; transfer-syntax=*"
    client.store(_native([bytes(48)], StudyInstanceUID=study))
    headers = {"Accept": accept, "If-None-Match": client.get(f"/studies/{study}", accept).headers["etag"]}

    assert client.http.get(f"/studies/{study}", headers=headers).status_code == 304
    client.store(_native([bytes(48)], StudyInstanceUID=study))
    assert client.http.get(f"/studies/{study}", headers=headers).status_code == 200


@pytest.mark.parametrize("number", ["3", "9999999999", "9" * 19])
def test_numbers_behind_the_end(client: Client, number: str) -> None:
    """A frame that no instance has is not there, however large its number."""
    path = _path(client, _native([bytes(48), bytes(48)]))

    assert client.get(f"{path}/frames/{number}", _ANY).status_code == 404
    assert client.get(f"{path}/frames/{number}/rendered", "*/*").status_code == 404


def test_conditions(client: Client) -> None:
    """`If-Match` is held to, and HEAD has no ranges (RFC 9110 §13.1.1, §14.2)."""
    path = _path(client, _native([bytes(48)]))
    tag = client.get(path, "application/dicom").headers["etag"]
    accept = {"Accept": "application/dicom; transfer-syntax=*"}

    assert client.http.get(path, headers={**accept, "If-Match": '"another"'}).status_code == 412
    assert client.http.get(path, headers={**accept, "If-Match": f'"another", {tag}'}).status_code == 200
    assert client.http.get(path, headers={**accept, "Range": "bytes=0-9"}).status_code == 206
    assert client.http.head(path, headers={**accept, "Range": "bytes=0-9"}).status_code == 200
