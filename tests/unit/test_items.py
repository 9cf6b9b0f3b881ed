"""Typed reading of DICOM JSON (`shared/dicom/items.py`), and values as people write them (`readable.py`)."""

from typing import Any

import pytest

from shared.dicom.items import Item, of_frame
from shared.dicom.readable import date, date_time, person, time
from shared.errors import NotDecodable
from tests.unit.dicom_json import element, json_of


def absent(path: str) -> bytes:
    raise KeyError(path)


@pytest.mark.parametrize(
    ("attribute", "raw"),
    [
        (element("OW", b"\1\2\3"), b"\1\2\3"),
        (element("US", 1, 65535), b"\1\0\xff\xff"),
        (element("SS", -2), b"\xfe\xff"),
        (element("OW"), b"bulk"),
        ({"vr": "OW", "BulkDataURI": "00283006"}, b"bulk"),
        (None, b"bulk"),
    ],
)
def test_raw(attribute: Any, raw: bytes) -> None:
    """Bytes come from the data set, else from where bulk values are, little endian."""
    dataset = {} if attribute is None else {"00283006": attribute}

    assert Item(dataset, {"00283006": b"bulk"}.__getitem__).raw("LUTData") == raw


def test_no_bulk() -> None:
    """A value that is nowhere has no bytes."""
    assert Item({}, absent).raw("LUTData") == Item({}).raw("LUTData") == b""


@pytest.mark.parametrize("attribute", [element("US", -1), element("US", "x"), {"vr": "OW", "InlineBinary": "%"}])
def test_broken_raw(attribute: Any) -> None:
    """What cannot be bytes is not guessed at; the tag is named."""
    with pytest.raises(NotDecodable, match=r"\(0028,3006\)"):
        Item({"00283006": attribute}).raw("LUTData")


def test_path() -> None:
    """An item of an item knows the way to its bulk values, counted from 1."""
    asked: list[str] = []

    def bulk(path: str) -> bytes:
        asked.append(path)
        return b"x"

    dataset = json_of(SharedFunctionalGroupsSequence=[json_of(FrameVOILUTSequence=[{}, {"0008": 1}])])
    (group,) = Item(dataset, bulk).items("SharedFunctionalGroupsSequence")

    assert group.items("FrameVOILUTSequence")[1].raw("LUTData") == b"x"
    assert asked == ["52009229/1/00289132/2/00283006"]


@pytest.mark.parametrize("values", [[None], ["x"], [5]])
def test_empty_items(values: list[Any]) -> None:
    """What is no item is none; a sequence may have null for an empty one."""
    assert Item({"00283010": {"vr": "SQ", "Value": values}}).items("VOILUTSequence") == []


def test_text() -> None:
    """Text is the first value; of a name the first component group that has something."""
    item = Item(
        json_of(
            PatientName={"Alphabetic": "", "Ideographic": "\u5c71"}, PatientID=["A", "B"], StudyID=[None], KVP=120.5
        )
    )

    assert [item.text(name) for name in ("PatientName", "PatientID", "StudyID", "KVP", "Modality")] == [
        "\u5c71",
        "A",
        "",
        "120.5",
        "",
    ]


def test_numbers() -> None:
    """Numbers may be written as text; empty values are left out."""
    item = Item(json_of(PixelSpacing=["0.5", None, 2], Rows="7"))

    assert item.numbers("PixelSpacing") == [0.5, 2]
    assert (item.whole("Rows", 1), item.whole("Columns", 1)) == (7, 1)


@pytest.mark.parametrize("frame", [1, 2, 3])
def test_of_frame(frame: int) -> None:
    """The macro of a frame is its own, else the shared one, else there is none."""
    per_frame = [json_of(PixelMeasuresSequence=[json_of(SliceThickness=1)]), {}]
    shared = [json_of(PixelMeasuresSequence=[json_of(SliceThickness=2)])]
    item = Item(json_of(PerFrameFunctionalGroupsSequence=per_frame, SharedFunctionalGroupsSequence=shared))

    assert of_frame(item, frame, "PixelMeasuresSequence").number("SliceThickness", 0) == (1 if frame == 1 else 2)
    assert of_frame(item, frame, "FrameVOILUTSequence") is item


def test_readable() -> None:
    """Names, dates and times are written for people; what is none stays as it is."""
    assert [person(text) for text in ("Doe^John^M^Dr^Jr", "Doe", "^John", "", "^^^")] == [
        "Doe, John M Dr Jr",
        "Doe",
        "John",
        "",
        "",
    ]
    assert [date(text) for text in ("20260131", "2026", "", "2026.01.31")] == ["2026-01-31", "2026", "", "2026.01.31"]
    assert [time(text) for text in ("235959.123456", "2359", "23", "")] == ["23:59:59", "23:59", "23", ""]
    assert [date_time(text) for text in ("20260131235959.5-0500", "20260131", "2026")] == [
        "2026-01-31 23:59:59 -0500",
        "2026-01-31",
        "2026",
    ]
