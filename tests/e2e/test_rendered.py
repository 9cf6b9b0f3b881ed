"""Rendered images and thumbnails over HTTP (PS3.18 §10.4.1.1.3, §10.4.1.1.4; retrieve.md, "Rendered")."""

import io
import re
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from tests.e2e.client import Client
from tests.factories import dataset, file_of, new_uid, part10


def _image(frames: int = 1, rows: int = 8, columns: int = 16, **attributes: object) -> bytes:
    """A grey image whose columns rise from 0 to 255 in the window 128 wide 256; frame by frame one brighter."""
    made = dataset(
        Rows=rows,
        Columns=columns,
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=0,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        NumberOfFrames=frames,
        WindowCenter=128,
        WindowWidth=256,
        **attributes,
    )
    row = np.linspace(0, 240, columns).astype("<u2")
    made.PixelData = b"".join(np.tile(row + number, (rows, 1)).tobytes() for number in range(frames))
    made["PixelData"].VR = "OW"
    return file_of(made)


def _path(client: Client, file: bytes) -> str:
    answer = client.store(file)
    assert answer.status_code in {200, 202}, answer.text
    url: str = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
    return url


def _pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/jpeg", "image/jpeg"),
        ("image/png", "image/png"),
        ("image/gif", "image/gif"),
        ("*/*", "image/jpeg"),
        ("image/*", "image/jpeg"),
        ("image/png;q=0.5, image/jpeg;q=0.4", "image/png"),
        ("text/html, application/xhtml+xml, image/avif, image/webp, */*;q=0.8", "image/jpeg"),
    ],
)
def test_media_type(client: Client, accept: str, kind: str) -> None:
    """A picture comes in the type that the client prefers, JPEG when it does not mind, in the size of the image."""
    path = _path(client, _image())

    answer = client.get(f"{path}/rendered", accept)

    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert Image.open(io.BytesIO(answer.content)).size == (16, 8)


def test_missing_accept(client: Client) -> None:
    """Without Accept the picture is a JPEG."""
    request = client.http.build_request("GET", f"{_path(client, _image())}/rendered")
    del request.headers["Accept"]

    assert client.http.send(request).headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    "accept", ["application/jpeg", "application/dicom", "image/webp", "text/html", "image/jpeg;q=0"]
)
def test_not_acceptable(client: Client, accept: str) -> None:
    """Other types are 406 (clients.md: application/jpeg)."""
    assert client.get(f"{_path(client, _image())}/rendered", accept).status_code == 406


def test_window_of_data_set(client: Client) -> None:
    """Values are shown through the window of the data set (PS3.3 §C.11.2.1.2)."""
    answer = client.get(f"{_path(client, _image())}/rendered", "image/png")

    expected = np.round(np.clip((np.linspace(0, 240, 16).astype(int) - 127.5) / 255 + 0.5, 0, 1) * 255)
    assert np.abs(_pixels(answer.content)[0].astype(int) - expected).max() <= 1


def test_window_of_query(client: Client) -> None:
    """The window of the query goes before that of the data set (PS3.18 §8.3.5.1.4)."""
    path = _path(client, _image())

    dark = client.get(f"{path}/rendered", "image/png", {"window": "1000,10,linear"})
    bright = client.get(f"{path}/rendered", "image/png", {"window": "-1000,10,linear-exact"})

    assert _pixels(dark.content).max() == 0
    assert _pixels(bright.content).min() == 255


def test_frames(client: Client) -> None:
    """A frame is shown by its number; several come as parts, and not without multipart (PS3.18 §10.4.1.1.3)."""
    path = _path(client, _image(frames=3))

    first, third = (client.get(f"{path}/frames/{number}/rendered", "image/png") for number in (1, 3))
    several = client.get(f"{path}/frames/1,3/rendered", 'multipart/related; type="image/png"')

    assert _pixels(third.content).astype(int).sum() > _pixels(first.content).astype(int).sum()
    assert several.headers["content-type"].startswith('multipart/related; type="image/png"')
    assert first.content in several.content
    assert third.content in several.content
    assert client.get(f"{path}/frames/1,3/rendered", "image/png").status_code == 400
    assert client.get(f"{path}/rendered", "image/png").content == first.content


def test_animation(plain: Client) -> None:
    """As GIF an instance of several frames moves."""
    answer = plain.get(f"{_path(plain, _image(frames=5))}/rendered", "image/gif")

    assert answer.status_code == 200
    assert Image.open(io.BytesIO(answer.content)).n_frames == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "query",
    [
        "quality=0",
        "quality=101",
        "quality=x",
        "window=1,2",
        "window=1,0,linear",
        "window=1,2,cubic",
        "viewport=1",
        "viewport=0,5",
        "viewport=99999,5",
        "annotation=face",
        "iccprofile=yes,no",
    ],
)
def test_query(client: Client, query: str) -> None:
    """A parameter that cannot be is 400 and named, with PNG too (retrieve.md)."""
    answer = client.get(f"{_path(client, _image())}/rendered?{query}", "image/png")

    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.text


def test_quality(client: Client) -> None:
    """A higher quality takes more bytes."""
    noise = np.random.default_rng(7).integers(0, 256, (64, 64)).astype("<u2")
    made = _image(rows=64, columns=64)
    path = _path(client, made[: -noise.nbytes] + noise.tobytes())

    sizes = [
        len(client.get(f"{path}/rendered", "image/jpeg", {"quality": text}).content) for text in ("5", "50", "100")
    ]

    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("frames", ["0", "-1", "x", "1,"])
def test_no_number(client: Client, frames: str) -> None:
    """What is no number from 1 on is 400; one beyond the last frame 404; no pixel data is 404."""
    path = _path(client, _image())

    assert client.get(f"{path}/frames/{frames}/rendered").status_code == 400
    assert client.get(f"{path}/frames/2/rendered").status_code == 404
    assert client.get(f"{_path(client, part10())}/rendered").status_code == 404
    assert client.get(f"/studies/{new_uid()}/rendered").status_code == 404


def test_damaged(client: Client) -> None:
    """Pixel data that cannot be decoded is 406."""
    file = part10(transfer_syntax="1.2.840.10008.1.2.4.50", pixel_bytes=500, Rows=8, Columns=8, BitsAllocated=8)

    assert client.get(f"{_path(client, file)}/rendered").status_code == 406


@pytest.mark.parametrize(
    ("rest", "accept"),
    [
        ("", "application/dicom; transfer-syntax=*"),
        ("/metadata", "application/dicom+json"),
        ("/rendered", "image/png"),
        ("/thumbnail", "image/png"),
        ("/bulkdata/7FE00010", "application/octet-stream"),
    ],
)
def test_tags_are_opaque(client: Client, rest: str, accept: str) -> None:
    """An entity tag is a digest: numbers in it would tell how much is stored, in other partitions too."""
    answer = client.get(_path(client, _image()) + rest, accept)

    assert answer.status_code == 200, answer.text
    assert re.fullmatch('"[0-9a-f]{32}"', answer.headers["etag"])


def test_unchanged(client: Client) -> None:
    """What the client has is 304; a picture of another form, a frame that is not there and other metadata are not."""
    path = _path(client, _image())
    for url in (f"{path}/rendered", f"{path}/thumbnail"):
        answer = client.get(url, "image/jpeg")
        known = {"If-None-Match": answer.headers["etag"]}

        unchanged = client.http.get(url, headers=known | {"Accept": "image/jpeg"})
        assert (unchanged.status_code, unchanged.headers["vary"]) == (304, answer.headers["vary"])
        assert client.http.get(url, headers=known | {"Accept": "image/png"}).status_code == 200

    tag = client.get(f"{path}/frames/1/rendered", "image/jpeg").headers["etag"]
    assert client.http.get(f"{path}/frames/9/rendered", headers={"If-None-Match": tag}).status_code == 404
    tag = client.get(f"{path}/metadata").headers["etag"]
    xml = client.http.get(f"{path}/metadata", headers={"If-None-Match": tag, "Accept": "application/dicom+xml"})
    assert xml.status_code == 200


def test_bulkdata_of_nothing(client: Client) -> None:
    """A path to bulk data that names none is 404."""
    path = _path(client, _image())

    assert [client.get(f"{path}/{one}").status_code for one in ("bulkdata", "bulkdata/")] == [404, 404]


def test_representative(client: Client) -> None:
    """A study and a series are shown by the middle one of their images."""
    study, series = new_uid(), new_uid()
    for number in range(1, 4):
        file = _image(
            StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=number, rows=8, columns=8 * number
        )
        client.store(file)
    client.store(part10(StudyInstanceUID=study))

    sizes = {
        Image.open(io.BytesIO(client.get(path).content)).size
        for path in (f"/studies/{study}/rendered", f"/studies/{study}/series/{series}/rendered")
    }

    assert sizes == {(16, 8)}


@pytest.mark.parametrize(("query", "size"), [("", (128, 64)), ("?viewport=32,32", (32, 16))])
def test_thumbnail(client: Client, query: str, size: tuple[int, int]) -> None:
    """A thumbnail is a JPEG that fits into 128 x 128 pixels, or into the viewport, at every level."""
    path = _path(client, _image())
    series = path.partition("/instances/")[0]

    for url in (path, series, series.partition("/series/")[0], f"{path}/frames/1"):
        answer = client.get(f"{url}/thumbnail{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(answer.content)).size == size


def test_video(client: Client) -> None:
    """A video comes as it is, in ranges too, so that a browser plays it (clients.md)."""
    path = _path(client, part10(transfer_syntax="1.2.840.10008.1.2.4.102", pixel_bytes=5000))

    answer = client.http.get(f"{path}/rendered", headers={"Range": "bytes=0-", "Accept": "*/*"})

    assert (answer.status_code, len(answer.content)) == (206, 5000)
    assert answer.headers["content-type"].startswith("video/mp4")


def test_report(client: Client) -> None:
    """A structured report comes as a page, or as text; what its values hold is no markup."""
    concept = Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = "1", "99T", "Finding"
    item = Dataset()
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", "<b>small</b> nodule"
    item.ConceptNameCodeSequence = [concept]
    made = dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR", ValueType="CONTAINER")
    made.ConceptNameCodeSequence, made.ContentSequence = [concept], [item]
    path = _path(client, file_of(made))

    page, text = (client.get(f"{path}/rendered", kind) for kind in ("text/html", "text/plain"))

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "&lt;b&gt;small&lt;/b&gt; nodule" in page.text
    assert "<b>small</b> nodule" in text.text
    assert client.get(f"{path}/rendered", "image/png").status_code == 406


def state_of(study: str, series: str, instance: str, *, center: float) -> Dataset:
    """Return a presentation state that shows an image of 16 by 8 with a narrow window around *center*."""
    reference, of_series, voi, area = Dataset(), Dataset(), Dataset(), Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    reference.ReferencedSOPInstanceUID = instance
    of_series.SeriesInstanceUID, of_series.ReferencedImageSequence = series, [reference]
    voi.WindowCenter, voi.WindowWidth = center, 10
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [16, 8]
    area.PresentationSizeMode, area.PresentationPixelAspectRatio = "SCALE TO FIT", [1, 1]
    state = dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1", StudyInstanceUID=study)
    state.ReferencedSeriesSequence, state.SoftcopyVOILUTSequence = [of_series], [voi]
    state.DisplayedAreaSelectionSequence = [area]
    return state


def test_presentation_state(client: Client) -> None:
    """A presentation state is shown by the image that it is made for, as it says: here darker (PS3.18 §8.3.5.1)."""
    uids: dict[str, Any] = {name: new_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    client.store(_image(**uids))
    state = state_of(*uids.values(), center=10000)

    url = f"{_path(client, file_of(state))}/rendered"
    answer = client.get(url, "image/png")

    assert answer.status_code == 200, answer.text
    assert _pixels(answer.content).shape == (8, 16)
    assert _pixels(answer.content).max() == 0

    state.SoftcopyVOILUTSequence[0].WindowCenter = 1
    assert client.upsert(file_of(state)).status_code == 200
    headers = {"If-None-Match": answer.headers["etag"], "Accept": "image/png"}
    assert client.http.get(url, headers=headers).status_code == 200, "another state is another picture"


def test_document(client: Client) -> None:
    """An encapsulated document comes as it is."""
    made = dataset(MIMETypeOfEncapsulatedDocument="application/pdf", EncapsulatedDocument=b"%PDF-1.7" + bytes(2000))

    answer = client.get(f"{_path(client, file_of(made))}/rendered", "*/*")

    assert (answer.headers["content-type"], answer.content[:8]) == ("application/pdf", b"%PDF-1.7")


@pytest.mark.parametrize(
    ("given", "media_type"),
    [
        ("text/html", "text/html"),
        ("Text/HTML; charset=x", "text/html"),
        ("text/html\r\nX-Evil: 1", "application/octet-stream"),
        ("text/html\0", "application/octet-stream"),
        ("html", "application/octet-stream"),
    ],
)
def test_hostile_document(v2: Client, given: str, media_type: str) -> None:
    """A document's own name of its type gets into no header unless it is one, and its scripts and forms do nothing."""
    made = dataset(EncapsulatedDocument=b"<script>alert(1)</script>" + bytes(2000))
    made.add_new("MIMETypeOfEncapsulatedDocument", "LO", given)
    path = _path(v2, file_of(made))

    for address in (f"{path}/rendered", f"{path}/bulkdata/00420011"):
        for accept in (media_type, f'multipart/related; type="{media_type}"'):
            answer = v2.get(address, accept)

            assert answer.status_code == 200, answer.text
            assert media_type in (answer.headers["content-type"].partition(";")[0], _part_type(answer))
            assert b"X-Evil" not in answer.content
            assert "x-evil" not in answer.headers
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def _part_type(answer: httpx.Response) -> str:
    """Return the media type of the first part of a multipart answer."""
    return answer.content.partition(b"Content-Type: ")[2].partition(b"\r\n")[0].decode("latin-1")


@pytest.mark.parametrize("resource", ["rendered", "thumbnail"])
@pytest.mark.parametrize("accept", [None, "*/*", "image/png, */*; q=0.1", 'multipart/related; type="image/jpeg"'])
def test_several(client: Client, resource: str, accept: str | None) -> None:
    """Several frames are parts of one answer, whether a multipart body is named or not minded."""
    url = f"{_path(client, _image(3))}/frames/3,1/{resource}"
    request = client.http.build_request("GET", url, headers={"Accept": accept} if accept else {})
    if accept is None:
        del request.headers["accept"]

    answer = client.http.send(request)

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("multipart/related")
    places = re.findall(rb"Content-Location: \S+/frames/(\d+)/(\w+)", answer.content)
    assert places == [(b"3", resource.encode()), (b"1", resource.encode())]


@pytest.mark.parametrize("resource", ["rendered", "thumbnail"])
def test_missing_frame_unchanged(client: Client, resource: str) -> None:
    """A frame that is not there is 404, whatever the client says it has."""
    instance = _path(client, _image(3))
    tag = client.get(f"{instance}/frames/1/{resource}", "image/jpeg").headers["etag"]

    answer = client.http.get(f"{instance}/frames/9/{resource}", headers={"If-None-Match": tag, "Accept": "image/jpeg"})

    assert answer.status_code == 404


def test_jpeg_2000(client: Client) -> None:
    """A picture can be had as JPEG 2000 (PS3.18 §8.7.4)."""
    answer = client.get(f"{_path(client, _image())}/rendered", "image/jp2")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jp2")
    assert Image.open(io.BytesIO(answer.content)).format == "JPEG2000"
