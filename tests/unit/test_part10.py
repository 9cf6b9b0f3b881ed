"""Part 10 files from DICOM JSON and bulk data (`shared/dicom/part10.py`), read back by us and by pydicom."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames

from shared.dicom.header import read_header
from shared.dicom.limits import MAX_DEPTH
from shared.dicom.part10 import BulkData, bulk_uri, write_file
from shared.errors import UnreadableFile

Json = dict[str, Any]

EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG, JPEG_LOSSLESS, MPEG = (f"1.2.840.10008.1.2.4.{number}" for number in (50, 70, 102))

MINIMAL: Json = {
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
    "00080018": {"vr": "UI", "Value": ["1.2.3"]},
}


def written(dataset: Json, bulk: dict[str, BulkData] | None = None) -> bytes:
    return b"".join(bytes(piece) for piece in write_file(dataset, bulk or {}))


def read_by_pydicom(dataset: Json, bulk: dict[str, BulkData] | None = None) -> Dataset:
    return dcmread(BytesIO(written(dataset, bulk)))


def pixels(frames: int = 1, **element: Any) -> Json:
    """Return a data set with pixel data given by *element*."""
    return MINIMAL | {
        "00280008": {"vr": "IS", "Value": [frames]},
        "7FE00010": {"vr": "OW"} | element,
    }


def test_file_meta() -> None:
    """A file has 128 zeros, DICM, and file meta information with all that PS3.10 §7.1 requires."""
    file = written(MINIMAL)

    assert file[:132] == bytes(128) + b"DICM"
    meta = dcmread(BytesIO(file)).file_meta
    length = meta.FileMetaInformationGroupLength
    assert file[144 + length :].startswith(b"\x08\x00\x16\x00UI")
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == EXPLICIT
    assert meta.ImplementationClassUID.startswith("2.25.")
    assert meta.ImplementationClassUID.is_valid
    assert 0 < len(meta.ImplementationVersionName or "") <= 16


def test_without_uids() -> None:
    """A data set without UIDs becomes a file too: that they are missing is for the validation to tell."""
    assert read_header(written({})).dataset == {}


def test_order() -> None:
    """Elements are in the order of their tags, nested ones too, whatever the order of the JSON (PS3.5 §7.1)."""
    item = {"00400100": {"vr": "LO", "Value": ["b"]}, "00080100": {"vr": "SH", "Value": ["a"]}}
    dataset = {"00400275": {"vr": "SQ", "Value": [item]}, "0010001a": {"vr": "LO", "Value": ["x"]}, **MINIMAL}

    found = read_header(written(dataset)).dataset

    assert list(found) == ["00080016", "00080018", "0010001A", "00400275"]
    assert list(found["00400275"]["Value"][0]) == ["00080100", "00400100"]


def test_left_out() -> None:
    """Group lengths and file meta information of the JSON describe another file."""
    more = {
        "00020002": {"vr": "UI", "Value": ["9.9"]},
        "00020010": {"vr": "UI", "Value": [JPEG]},
        "00080000": {"vr": "UL", "Value": [8]},
        "00083002": {"vr": "UI", "Value": [JPEG]},
        "00081111": {"vr": "SQ", "Value": [{"00080000": {"vr": "UL", "Value": [8]}}]},
    }
    file = written(MINIMAL | more)

    assert read_header(file).dataset == MINIMAL | {"00081111": {"vr": "SQ", "Value": [{}]}}
    assert read_header(file).transfer_syntax == EXPLICIT
    assert b"9.9" not in file


@pytest.mark.parametrize(
    ("declared", "text", "expected"),
    [
        (None, "ascii", None),
        (None, "é", ["ISO_IR 192"]),
        ([], "ascii", None),
        ([], "山", ["ISO_IR 192"]),
        (["ISO_IR 100"], "ascii", ["ISO_IR 192"]),
        (["ISO_IR 100"], "é", ["ISO_IR 192"]),
        ([None, "ISO 2022 IR 87"], "山", ["ISO_IR 192"]),
        (["ISO_IR 192"], "ascii", ["ISO_IR 192"]),
        (["unknown"], "ascii", ["ISO_IR 192"]),
    ],
)
@pytest.mark.parametrize("is_nested", [False, True])
def test_character_set(declared: list[str] | None, text: str, expected: list[str] | None, *, is_nested: bool) -> None:
    """Text is UTF-8, and the data set says so when it matters or when it said something else (PS3.3 §C.12.1.1.2)."""
    element: Json = {"00104000": {"vr": "LT", "Value": [text]}}
    if is_nested:
        element = {"00081111": {"vr": "SQ", "Value": [element]}}
    dataset = element if declared is None else element | {"00080005": {"vr": "CS", "Value": declared}}

    found = read_header(written(dataset)).dataset

    assert found.get("00080005", {}).get("Value") == expected
    inner = found["00081111"]["Value"][0] if is_nested else found
    assert inner["00104000"]["Value"] == [text]


def test_character_set_of_item() -> None:
    """An item that had a character set of its own has UTF-8 as well."""
    item = {"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}, "00080104": {"vr": "LO", "Value": ["é"]}}

    found = read_header(written({"00081111": {"vr": "SQ", "Value": [item]}})).dataset

    assert found["00081111"]["Value"][0]["00080104"]["Value"] == ["é"]
    assert found["00081111"]["Value"][0]["00080005"]["Value"] == ["ISO_IR 192"]


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [("LO", "abc", b"abc "), ("UI", "1.2", b"1.2\0"), ("OB", "AAEC", b"\0\1\2\0"), ("LO", "é", "é".encode())],
)
def test_padding(vr: str, value: str, expected: bytes) -> None:
    """Values have an even length: text is padded with a blank, UIDs and bytes with a NUL (PS3.5 §6.2)."""
    form: Json = {"InlineBinary": value} if vr == "OB" else {"Value": [value]}

    file = written({"00091001": {"vr": vr} | form})

    assert file.endswith(expected)
    assert file[-len(expected) - 1] in {0, len(expected)}


@pytest.mark.parametrize(("length", "vr"), [(65534, "LO"), (65535, "UN"), (70000, "UN")])
def test_long_value(length: int, vr: str) -> None:
    """A value over 65534 bytes of a VR with a short length is UN (PS3.5 §6.2.2)."""
    file = written({"00091001": {"vr": "LO", "Value": [length * "a"]}})

    assert file[:-length].rpartition(b"\x09\x00\x01\x10")[2][:2] == vr.encode()


UNREADABLE: dict[str, tuple[Json, str]] = {
    "no vr": ({"00100020": {"Value": ["secret"]}}, r"\(0010,0020\) no vr"),
    "vr that is none": ({"00100020": {"vr": "secret"}}, r"\(0010,0020\) no vr"),
    "vr that is no text": ({"00100020": {"vr": ["LO"]}}, r"\(0010,0020\) no vr"),
    "no object": ({"00100020": "secret"}, r"\(0010,0020\) no object"),
    "keyword": ({"PatientID": {"vr": "LO", "Value": ["secret"]}}, "no tag"),
    "tag twice": ({"0010001a": {"vr": "LO"}, "0010001A": {"vr": "LO"}}, "twice"),
    "command group": ({"00000002": {"vr": "UI"}}, "no tag"),
    "item as attribute": ({"FFFEE000": {"vr": "OB"}}, "no tag"),
    "value of another kind": ({"00100020": {"vr": "LO", "Value": [{}]}}, r"\(0010,0020\) LO: object found"),
    "value that is no array": ({"00100020": {"vr": "LO", "Value": "secret"}}, "no array of values"),
    "two forms": ({"00091001": {"vr": "OB", "Value": [1], "InlineBinary": ""}}, "Value and InlineBinary"),
    "bytes as numbers": ({"00091001": {"vr": "OB", "Value": [1]}}, r"\(0009,1001\) OB: Value found"),
    "no base64": ({"00091001": {"vr": "OB", "InlineBinary": "secret!"}}, "no base64"),
    "no part": ({"00091001": {"vr": "OB", "BulkDataURI": "secret"}}, "no part answers"),
    "no URI": ({"00091001": {"vr": "OB", "BulkDataURI": 5}}, "no part answers"),
    "sequence of text": ({"00081111": {"vr": "SQ", "Value": ["secret"]}}, r"\(0008,1111\) SQ: an item"),
    "sequence as object": ({"00081111": {"vr": "SQ", "Value": {"a": 1}}}, "no array of items"),
    "sequence as bytes": ({"00081111": {"vr": "SQ", "InlineBinary": "AAEC"}}, "no array of items"),
    "nested": (
        {"00081111": {"vr": "SQ", "Value": [{"00081150": {"vr": "UI", "Value": [5]}}]}},
        r"^\(0008,1150\) UI: number found, text expected$",
    ),
    "transfer syntax": ({"00020010": {"vr": "UI", "Value": ["secret"]}, **pixels(InlineBinary="AAEC")}, "no UID"),
    "pixel data as values": (pixels(Value=[1, 2]), r"\(7FE0,0010\) OW: Value found"),
}


@pytest.mark.parametrize(("dataset", "problem"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_unreadable(dataset: Json, problem: str) -> None:
    """What cannot be written is an error that names the tag and the problem, and quotes no value."""
    with pytest.raises(UnreadableFile, match=problem) as error:
        written(dataset)

    assert "secret" not in str(error.value)


@pytest.mark.parametrize(("depth", "is_written"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_depth(depth: int, *, is_written: bool) -> None:
    """Sequences nest as deep as a file that is read may have them, and no deeper."""
    dataset: Json = MINIMAL
    for _ in range(depth):
        dataset = {"0040A730": {"vr": "SQ", "Value": [dataset]}}

    if is_written:
        assert read_header(written(dataset)).dataset == dataset
    else:
        with pytest.raises(UnreadableFile, match=str(MAX_DEPTH)):
            written(dataset)


def test_bulk_data_is_not_copied() -> None:
    """Bulk data is among the pieces as it is: however large, it is in memory once."""
    content = bytes(1_000_000)

    pieces = write_file(pixels(BulkDataURI="x"), {"x": BulkData((content,))})

    assert any(piece is content for piece in pieces)
    assert all(len(piece) < 1000 for piece in pieces if piece is not content)


@pytest.mark.parametrize(
    ("vr", "content", "expected"),
    [
        ("FL", b"\0\0\x80\x3f", [1.0]),
        ("DS", b"1\\2", [1.0, 2.0]),
        ("LT", "é".encode(), ["é"]),
        ("US", b"\1\0\2\0", [1, 2]),
    ],
)
def test_bulk_data_of_any_vr(vr: str, content: bytes, expected: list[object]) -> None:
    """Bulk data is the Value Field of any VR, its text UTF-8 (PS3.18 Table F.2.2-1)."""
    file = written({"00091001": {"vr": vr, "BulkDataURI": "x"}}, {"x": BulkData((content,))})

    assert read_header(file).dataset["00091001"]["Value"] == expected


def test_bulk_data_that_is_no_text() -> None:
    """Bulk data of a text must be UTF-8, since that is what the file declares."""
    with pytest.raises(UnreadableFile, match="UTF-8"):
        written({"00104000": {"vr": "LT", "BulkDataURI": "x"}}, {"x": BulkData((b"\xe9",))})


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({"BulkDataURI": " a "}, "a"),
        ({"BulkDataURI": ["a"]}, "a"),
        ({"BulkDataURI": "CID:a%40b"}, "cid:a@b"),
        ({"BulkDataURI": "a%40b"}, "a%40b"),
        ({"BulkDataURI": ["a", "b"]}, None),
        ({"BulkDataURI": 5}, None),
        ({}, None),
    ],
)
def test_bulk_uri(element: Json, expected: str | None) -> None:
    """A BulkDataURI may come in a list (PS3.18 §F.4), and that of a Content-ID with escapes (RFC 2392)."""
    assert bulk_uri(element) == expected


@pytest.mark.parametrize(
    ("possible", "stated", "expected"),
    [
        ((), None, EXPLICIT),
        ((), JPEG, JPEG),
        ((), EXPLICIT, EXPLICIT),
        ((), "1.2.840.10008.1.2", EXPLICIT),
        ((), BIG_ENDIAN, EXPLICIT),
        ((EXPLICIT,), JPEG, EXPLICIT),
        (("1.2.840.10008.1.2",), JPEG, EXPLICIT),
        ((JPEG,), None, JPEG),
        ((JPEG,), JPEG_LOSSLESS, JPEG),
        ((JPEG_LOSSLESS, JPEG), None, JPEG_LOSSLESS),
        ((JPEG_LOSSLESS, JPEG), JPEG, JPEG),
        ((JPEG_LOSSLESS, JPEG), EXPLICIT, JPEG_LOSSLESS),
        (("9.9.9",), None, "9.9.9"),
    ],
)
@pytest.mark.parametrize("tag", ["00020010", "00083002"])
def test_transfer_syntax(possible: tuple[str, ...], stated: str | None, expected: str, tag: str) -> None:
    """The origin of the pixel data tells its transfer syntax, where it leaves a choice the data set (PS3.18 §8.7.3)."""
    dataset = pixels(BulkDataURI="x") | ({} if stated is None else {tag: {"vr": "UI", "Value": [f"{stated}\0"]}})

    file = written(dataset, {"x": BulkData((b"abcd",), possible)})

    header = read_header(file)
    assert header.transfer_syntax == expected
    assert header.pixel_data is not None
    assert (header.pixel_data.length is None) == (expected != EXPLICIT)
    assert b"abcd" in file


def test_big_endian_pixel_data() -> None:
    """Pixel data that is big endian as it is sent would be wrong in the file: it is refused."""
    with pytest.raises(UnreadableFile, match="big endian"):
        written(pixels(BulkDataURI="x"), {"x": BulkData((b"abcd",), (BIG_ENDIAN,))})


@pytest.mark.parametrize("frames", [[b"abcd"], [b"a", b"bcd", b"ef"]], ids=repr)
def test_frames(frames: list[bytes]) -> None:
    """Compressed frames are encapsulated in their order, one fragment each, in an OB of undefined length."""
    dataset = pixels(len(frames), BulkDataURI="x")

    found = read_by_pydicom(dataset, {"x": BulkData(tuple(frames), (JPEG,))})

    assert found.file_meta.TransferSyntaxUID == JPEG
    assert found["PixelData"].VR == "OB"
    read = list(generate_frames(found.PixelData, number_of_frames=len(frames)))
    assert [frame[: len(sent)] for frame, sent in zip(read, frames, strict=True)] == frames


def test_inline_frame() -> None:
    """A compressed frame may be InlineBinary; then only the data set tells its transfer syntax."""
    dataset = pixels(InlineBinary="YWJjZA==") | {"00083002": {"vr": "UI", "Value": [JPEG]}}

    assert list(generate_frames(read_by_pydicom(dataset).PixelData, number_of_frames=1)) == [b"abcd"]


@pytest.mark.parametrize(
    ("number", "count", "syntax", "is_written"),
    [
        (2, 1, JPEG, False),
        (1, 2, JPEG, False),
        (3, 2, JPEG, False),
        (1, 1, MPEG, True),
        (250, 1, MPEG, True),
        (250, 2, MPEG, False),
        (3, 1, EXPLICIT, True),
        (3, 3, EXPLICIT, True),
        (3, 2, EXPLICIT, False),
    ],
)
def test_number_of_frames(number: int, count: int, syntax: str, *, is_written: bool) -> None:
    """There is one part for each frame; or one for all, where they are native or a video."""
    bulk = {"x": BulkData(tuple(b"abcd" for _ in range(count)), (syntax,))}

    if is_written:
        assert written(pixels(number, BulkDataURI="x"), bulk).count(b"abcd") == count
    else:
        with pytest.raises(UnreadableFile, match=rf"\(7FE0,0010\) OW: {count} parts"):
            written(pixels(number, BulkDataURI="x"), bulk)


def test_several_parts_of_one_value() -> None:
    """Only pixel data comes in several parts; of any other value it would be a guess which one is meant."""
    with pytest.raises(UnreadableFile, match="2 parts answer"):
        written({"00091001": {"vr": "OB", "BulkDataURI": "x"}}, {"x": BulkData((b"ab", b"cd"))})


def test_extended_offset_table() -> None:
    """The extended offset table of another encapsulation is left out; with native pixel data nothing is."""
    table = {"7FE00001": {"vr": "OV", "InlineBinary": "AAAAAAAAAAA="}}

    for syntax, is_kept in ((JPEG, False), (EXPLICIT, True)):
        file = written(pixels(BulkDataURI="x") | table, {"x": BulkData((b"abcd",), (syntax,))})
        assert ("7FE00001" in read_header(file).dataset) == is_kept


def icon(**element: Any) -> Json:
    return {"00880200": {"vr": "SQ", "Value": [{"7FE00010": {"vr": "OB"} | element}]}}


@pytest.mark.parametrize(
    ("possible", "syntax", "is_encapsulated"),
    [((), EXPLICIT, False), ((), JPEG, False), ((EXPLICIT,), JPEG, False), ((JPEG_LOSSLESS, JPEG), JPEG, True)],
)
def test_icon(possible: tuple[str, ...], syntax: str, *, is_encapsulated: bool) -> None:
    """Pixel data of an icon is native, unless it comes in the transfer syntax of the data set (PS3.5 §A.4)."""
    bulk = {"x": BulkData((b"abcd",), (syntax,)), "icon": BulkData((b"icon",), possible)}

    found = read_by_pydicom(pixels(BulkDataURI="x") | icon(BulkDataURI="icon"), bulk)

    value = found.IconImageSequence[0].PixelData
    assert (value == b"icon") != is_encapsulated
    assert b"icon" in value


def test_icon_in_another_syntax() -> None:
    """An icon that is compressed otherwise than the data set cannot be written."""
    with pytest.raises(UnreadableFile, match="transfer syntax"):
        written(icon(BulkDataURI="icon"), {"icon": BulkData((b"icon",), (JPEG,))})


def test_corpus(corpus: Path) -> None:
    """The header of every real file is written so that it reads the same, but for the character set."""
    count = 0
    for path in sorted(corpus.glob("corpus/**/*.dcm")):
        try:
            dataset = read_header(path.read_bytes()).dataset
        except UnreadableFile:
            continue
        count += 1
        assert _without_character_set(read_header(written(dataset)).dataset) == _without_character_set(dataset), (
            path.name
        )
    assert count > 150


def _without_character_set(dataset: Json) -> Json:
    return {
        tag: element | {"Value": [_without_character_set(item) for item in element["Value"]]}
        if element["vr"] == "SQ" and "Value" in element
        else element
        for tag, element in dataset.items()
        if tag != "00080005"
    }


@pytest.mark.parametrize("tag", ["00020010", "00083002"])
@pytest.mark.parametrize("value", [["x"], {"a": 1}, 7, "1.2.x"], ids=["array", "object", "number", "no UID"])
def test_no_transfer_syntax(tag: str, value: object) -> None:
    """A transfer syntax that is no UID fails the instance, whatever JSON it is."""
    pixels = {"vr": "OB", "InlineBinary": "AAAA"}

    with pytest.raises(UnreadableFile, match="no UID"):
        write_file({tag: {"vr": "UI", "Value": [value]}, "7FE00010": pixels}, {})
