"""Retrieve by URI (PS3.18 §9): the parameters of the query, over the same code as the other resources."""

import io
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.e2e.client import Client
from tests.e2e.test_rendered import _image, state_of
from tests.factories import file_of, new_uid, part10


class Object:
    """A stored instance and its UIDs as a query has them."""

    def __init__(self, client: Client, frames: int = 1, *, has_pixels: bool = True) -> None:
        self.client = client
        self.uids = {"studyUID": new_uid(), "seriesUID": new_uid(), "objectUID": new_uid()}
        names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        named: dict[str, Any] = dict(zip(names, self.uids.values(), strict=True))
        self.file = _image(frames, **named) if has_pixels else part10(**named)
        assert client.store(self.file).status_code == 200

    def get(self, **query: str) -> httpx.Response:
        return self.client.get(f"/wado?{urlencode({'requestType': 'WADO'} | self.uids | query)}")


def test_picture(client: Client) -> None:
    """Without a content type an image of one frame is a JPEG (PS3.18 §9.1.2.1)."""
    answer = Object(client).get()

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(answer.content)).size == (16, 8)


@pytest.mark.parametrize("kind", ["application/dicom", "application/dicom, image/jpeg"])
def test_file(client: Client, kind: str) -> None:
    """As application/dicom the object is a file."""
    one = Object(client)

    answer = one.get(contentType=kind)

    assert (answer.status_code, answer.content) == (200, one.file)
    assert answer.headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"


def test_transfer_syntax(client: Client) -> None:
    """A file comes in the transfer syntax that the query names."""
    answer = Object(client).get(contentType="application/dicom", transferSyntax="1.2.840.10008.1.2.4.90")

    assert answer.headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90"


@pytest.mark.parametrize(("frames", "has_pixels"), [(3, True), (1, False)])
def test_file_by_default(client: Client, frames: int, *, has_pixels: bool) -> None:
    """What is no image of one frame is a file."""
    one = Object(client, frames, has_pixels=has_pixels)

    answer = one.get()

    assert (answer.status_code, answer.content) == (200, one.file)


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ({"rows": "4"}, (8, 4)),
        ({"columns": "32"}, (32, 16)),
        ({"rows": "16", "columns": "16"}, (16, 8)),
        ({"region": "0,0,0.5,1"}, (8, 8)),
        ({"region": "0.5,0.5,1,1", "rows": "8"}, (16, 8)),
    ],
)
def test_size(plain: Client, query: dict[str, str], size: tuple[int, int]) -> None:
    """Rows, columns and region say what is shown, and how large (PS3.18 §9.1.2.2)."""
    answer = Object(plain).get(contentType="image/png", **query)

    assert answer.status_code == 200, answer.text
    assert Image.open(io.BytesIO(answer.content)).size == size


def test_frame(plain: Client) -> None:
    """A frame is shown by its number; one that is not there is 404."""
    one = Object(plain, frames=2)

    first, second = (one.get(contentType="image/png", frameNumber=text).content for text in "12")

    assert first != second
    assert one.get(contentType="image/png", frameNumber="3").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        {"requestType": "WADOO"},
        {"studyUID": "x"},
        {"objectUID": ""},
        {"rows": "0"},
        {"region": "1,1,0,0"},
        {"windowCenter": "40"},
        {"windowCenter": "a", "windowWidth": "1"},
        {"imageQuality": "101"},
        {"frameNumber": "-1"},
        {"anonymize": "yes"},
    ],
)
def test_wrong_query(client: Client, query: dict[str, str]) -> None:
    """A parameter that is missing or cannot be is 400; nobody gets an identified file who asks for another."""
    assert Object(client).get(**query).status_code == 400


def test_missing(client: Client) -> None:
    """An object that is not there is 404; a type that it cannot be had in 406."""
    one = Object(client)

    assert one.get(objectUID=new_uid()).status_code == 404
    assert one.get(contentType="text/html").status_code == 406


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("image/png, image/jpeg", "image/png"),
        ("image/jpeg, image/png", "image/jpeg"),
        ("video/mp4, image/gif, application/dicom", "image/gif"),
        ("video/mp4, application/dicom, image/gif", "application/dicom"),
    ],
)
def test_order_of_types(client: Client, kind: str, expected: str) -> None:
    """The first of the types that the object can be had in is taken (PS3.18 §9.1.2.1.1)."""
    answer = Object(client).get(contentType=kind)

    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, expected)


def test_presentation_state(client: Client) -> None:
    """An image is shown as a presentation state says that is made for it (PS3.18 §9.1.2.2.7)."""
    one, other = Object(client), Object(client)
    state = state_of(one.uids["studyUID"], one.uids["seriesUID"], one.uids["objectUID"], center=10000)
    assert client.store(file_of(state)).status_code == 200
    named = {"presentationUID": state.SOPInstanceUID, "presentationSeriesUID": state.SeriesInstanceUID}

    plain, shown = one.get(contentType="image/png"), one.get(contentType="image/png", **named)

    assert (plain.status_code, shown.status_code) == (200, 200), shown.text
    assert np.asarray(Image.open(io.BytesIO(plain.content))).max() > 0
    assert np.asarray(Image.open(io.BytesIO(shown.content))).max() == 0
    named["presentationUID"] = new_uid()
    assert one.get(**named, contentType="image/png").status_code == 404
    wrong = {"presentationUID": one.uids["objectUID"], "presentationSeriesUID": one.uids["seriesUID"]}
    assert one.get(**wrong, contentType="image/png").status_code == 400
    assert one.get(presentationUID=new_uid(), contentType="image/png").status_code == 400
    assert other.get(contentType="image/png").status_code == 200
