"""Metadata and bulk data composed into files (`shared/web/composed.py`; PS3.18 §8.6.1, §10.5.1)."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.header import read_header
from shared.dicom.native_model import to_xml
from shared.errors import DicomwebError, InvalidRequest, PayloadTooLarge, UnreadableFile, UnsupportedMediaType
from shared.web import composed
from shared.web.composed import compose_body, compose_parts
from shared.web.media_types import DICOM_JSON, DICOM_XML
from shared.web.multipart import Part

Json = dict[str, Any]
Sent = tuple[dict[str, str], bytes]

JSON = {"content-type": DICOM_JSON}
XML = {"content-type": DICOM_XML}
JPEG, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
EXPLICIT = "1.2.840.10008.1.2.1"
BASELINE_JPEG = b"\xff\xd8\xff\xc0\0\x0bxxxxxxxxx\xff\xd9"


def instance(number: int = 1, **elements: Json) -> Json:
    return {"00080018": {"vr": "UI", "Value": [f"1.2.{number}"]}} | {
        name.removeprefix("t"): element for name, element in elements.items()
    }


def image(uri: str = "pixels", number: int = 1, vr: str = "OB") -> Json:
    return instance(number, t7FE00010={"vr": vr, "BulkDataURI": uri})


def metadata(*datasets: Json) -> Sent:
    return JSON, orjson.dumps(datasets)


def bulk(content: bytes, location: str = "pixels", media_type: str = "application/octet-stream") -> Sent:
    return {"content-type": media_type, "content-location": location}, content


async def parts_of(sent: list[Sent], size: int = 1000) -> AsyncIterator[Part]:
    async def chunks(content: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(content), size):
            yield content[start : start + size]

    for headers, content in sent:
        yield Part(headers, chunks(content))


async def compose(*sent: Sent, kind: str = DICOM_JSON, limit: int = 10**6) -> list[bytes | UnreadableFile]:
    """Return the files of a request, or why there is none."""
    found: list[bytes | UnreadableFile] = []
    async for file in compose_parts(parts_of(list(sent)), kind, limit):
        try:
            found.append(b"".join([bytes(chunk) async for chunk in file]))
        except UnreadableFile as error:
            found.append(error)
    return found


async def compose_one(*sent: Sent, kind: str = DICOM_JSON) -> bytes:
    [file] = await compose(*sent, kind=kind)
    assert isinstance(file, bytes)
    return file


async def test_instances() -> None:
    """Each data set of the metadata is a file, in order; an only one may come without its array (PS3.18 §F.2.1)."""
    two = await compose(metadata(instance(1), instance(2)))

    assert [read_header(file).dataset for file in two if isinstance(file, bytes)] == [instance(1), instance(2)]
    assert read_header(await compose_one((JSON, orjson.dumps(instance(3))))).dataset == instance(3)


@pytest.mark.parametrize("content", [b"[]", b" [ ] "])
async def test_no_instances(content: bytes) -> None:
    """Metadata without data sets has no files; neither has a request without parts."""
    assert await compose((JSON, content)) == []
    assert await compose() == []


async def test_xml_instances() -> None:
    """In XML each part is a document of one instance (PS3.18 §8.7.3.2)."""
    sent = [(XML, to_xml(image("a", 1))), (XML, to_xml(instance(2))), bulk(b"abcd", "a")]

    first, second = await compose(*sent, kind=DICOM_XML)

    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    assert first.endswith(b"abcd")
    assert read_header(second).dataset == instance(2)


async def test_body() -> None:
    """Without bulk data, metadata may be the whole body."""

    async def body(content: bytes) -> AsyncIterator[bytes]:
        for byte in content:
            yield bytes([byte])

    for content, kind in ((orjson.dumps([instance(1)]), DICOM_JSON), (to_xml(instance(1)), DICOM_XML)):
        files = [
            b"".join([bytes(chunk) async for chunk in file]) async for file in compose_body(body(content), kind, 999)
        ]
        assert [read_header(file).dataset for file in files] == [instance(1)]


@pytest.mark.parametrize(
    ("headers", "uri"),
    [
        ({"content-location": "pixels"}, "pixels"),
        ({"content-location": "/studies/1/bulk?x=1&y"}, "/studies/1/bulk?x=1&y"),
        ({"content-location": "http://h/x%20y"}, "http://h/x%20y"),
        ({"content-id": "<1@h>"}, "cid:1@h"),
        ({"content-id": "1@h"}, "cid:1%40h"),
        ({"content-id": "<1@h>", "content-location": "elsewhere"}, "CID:1@h"),
        ({"content-id": "<1@h>", "content-location": "here"}, "here"),
    ],
)
async def test_reference(headers: dict[str, str], uri: str) -> None:
    """Bulk data is found by Content-Location, absolute or relative, and by Content-ID (RFC 2392)."""
    part = ({"content-type": "application/octet-stream"} | headers, b"abcd")

    assert (await compose_one(metadata(image(uri)), part)).endswith(b"abcd")


async def test_nested_reference() -> None:
    """Bulk data belongs to nested attributes too, and several instances may share it."""
    item = {"00091001": {"vr": "UN", "BulkDataURI": "x"}}
    nested = instance(1, t00081111={"vr": "SQ", "Value": [item, item]})

    first, second = await compose(metadata(nested, instance(2, t00091001=item["00091001"])), bulk(b"abcd", "x"))

    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    assert (first.count(b"abcd"), second.count(b"abcd")) == (2, 1)


async def test_missing_bulk_data() -> None:
    """An instance whose bulk data is not there fails alone, and says which attribute it is."""
    good, bad, last = await compose(metadata(image(), image("missing", 2), instance(3)), bulk(b"abcd"))

    assert isinstance(good, bytes)
    assert isinstance(bad, UnreadableFile)
    assert "(7FE0,0010)" in str(bad)
    assert isinstance(last, bytes)


@pytest.mark.parametrize(
    "part",
    [
        bulk(b"abcd", "other"),
        bulk(b"abcd", "Pixels"),
        ({"content-type": "application/octet-stream"}, b"abcd"),
        ({"content-type": "application/octet-stream", "content-id": "<pixels>"}, b"abcd"),
    ],
    ids=repr,
)
async def test_unreferenced_bulk_data(part: Sent) -> None:
    """Bulk data that nothing refers to is not lost silently: the request is refused and the part named."""
    with pytest.raises(InvalidRequest, match="Part 3 "):
        await compose(metadata(image()), bulk(b"abcd"), part)


async def test_bulk_data_of_failed_instance() -> None:
    """Bulk data that only a failing instance refers to is no reason to refuse the others."""
    broken = image("x") | {"00100020": {"vr": "LO", "Value": [5]}}

    bad, good = await compose(metadata(broken, instance(2)), bulk(b"abcd", "x"))

    assert isinstance(bad, UnreadableFile)
    assert isinstance(good, bytes)


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"secret",
    "cut": b'[{"00080018":',
    "number": b"5",
    "null": b"null",
    "array of numbers": b"[{}, 5]",
    "array of arrays": b"[[{}]]",
    "no UTF-8": b'["\xff"]',
    "lone surrogate": b'[{"00100020":{"vr":"LO","Value":["\\ud800"]}}]',
    "NaN": b'[{"00189073":{"vr":"FD","Value":[NaN]}}]',
    "nested arrays": 100_000 * b"[",
    "65 sequences": b"[" + 65 * b'{"0040A730":{"vr":"SQ","Value":[' + b"{}" + 65 * b"]}}" + b"]",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_json(content: bytes) -> None:
    """Metadata that is no array of JSON objects refuses the request, without quoting it."""
    with pytest.raises(InvalidRequest) as refused:
        await compose((JSON, content))

    assert "secret" not in str(refused.value)


async def test_malformed_xml() -> None:
    """So does metadata that is no Native DICOM Model."""
    with pytest.raises(InvalidRequest, match="XML"):
        await compose((XML, b"<html/>"), kind=DICOM_XML)


async def test_byte_order_mark() -> None:
    """A byte order mark before the JSON is let through: some programs write one."""
    assert len(await compose((JSON, b"\xef\xbb\xbf[{}]"))) == 1


@pytest.mark.parametrize(
    ("kind", "types", "number"),
    [
        (DICOM_JSON, ["text/plain"], 1),
        (DICOM_JSON, ["application/octet-stream"], 1),
        (DICOM_JSON, [DICOM_XML], 1),
        (DICOM_XML, [DICOM_JSON], 1),
        (DICOM_JSON, ["application/dicom"], 1),
        (DICOM_JSON, ["application/json"], 1),
        (DICOM_JSON, [""], 1),
        (DICOM_JSON, [None, DICOM_XML], 2),
        (DICOM_JSON, [None, "application/dicom"], 2),
        (DICOM_JSON, [DICOM_JSON, None], 2),
        (DICOM_JSON, [DICOM_JSON, ""], 2),
    ],
)
async def test_types_of_parts(kind: str, types: list[str | None], number: int) -> None:
    """The first part is metadata, by its own type or by that of the request; later ones are bulk data or metadata."""
    sent = [({} if name is None else {"content-type": name}, b"[]") for name in types]

    with pytest.raises(UnsupportedMediaType, match=f"Part {number} "):
        await compose(*sent, kind=kind)


async def test_several_metadata_parts() -> None:
    """Metadata may come in several parts, and the first may leave its type to the request."""
    untyped: Sent = ({}, orjson.dumps([instance(1)]))

    assert len(await compose(untyped, bulk(b"abcd"), metadata(image(number=2)))) == 2


@pytest.mark.parametrize(
    ("media_type", "stated", "content", "expected"),
    [
        ("application/octet-stream", None, b"abcd", EXPLICIT),
        ("application/octet-stream", JPEG, b"abcd", JPEG),
        (f"application/octet-stream; transfer-syntax={EXPLICIT}", JPEG, b"abcd", EXPLICIT),
        (f'application/octet-stream; transfer-syntax="{JPEG}"', None, b"abcd", JPEG),
        (f"image/jpeg; transfer-syntax={JPEG}", None, b"abcd", JPEG),
        (f"image/jpeg; transfer-syntax={JPEG}", JPEG_LOSSLESS, b"abcd", JPEG),
        ("image/jpeg", None, b"abcd", JPEG_LOSSLESS),
        ("image/jpeg", JPEG, b"abcd", JPEG),
        ("image/jpeg", None, BASELINE_JPEG, JPEG),
        ("image/jpeg", JPEG_LOSSLESS, BASELINE_JPEG, JPEG),
        ("image/jp2", None, b"abcd", "1.2.840.10008.1.2.4.90"),
        ("image/jp2", "1.2.840.10008.1.2.4.91", b"abcd", "1.2.840.10008.1.2.4.91"),
        ("image/jp2", EXPLICIT, b"abcd", "1.2.840.10008.1.2.4.90"),
        ("image/dicom-rle", None, b"abcd", "1.2.840.10008.1.2.5"),
        ("Video/H265", None, b"abcd", "1.2.840.10008.1.2.4.107"),
    ],
)
async def test_transfer_syntax(media_type: str, stated: str | None, content: bytes, expected: str) -> None:
    """A file is in the syntax that its pixel data's part says, or the data set, or what the media type stands for."""
    dataset = image() | ({} if stated is None else {"00083002": {"vr": "UI", "Value": [stated]}})

    file = await compose_one(metadata(dataset), bulk(content, media_type=media_type))

    assert read_header(file).transfer_syntax == expected
    assert content in file


async def test_frames() -> None:
    """Parts of one Content-Location are the frames of compressed pixel data, in order."""
    dataset = image() | {"00280008": {"vr": "IS", "Value": [3]}}
    frames = [bulk(content, media_type="image/jls") for content in (b"one.", b"two", b"three.")]

    file = await compose_one(metadata(dataset), *frames)

    assert file.index(b"one.") < file.index(b"two\0") < file.index(b"three.")


@pytest.mark.parametrize("more", [0, 1])
async def test_limit(more: int) -> None:
    """All parts together have a limit, to the byte, their names in it."""
    sent = metadata(image()), bulk(bytes(1000))
    limit = sum(len(content) + sum(map(len, fields.values())) for fields, content in sent) - more

    if more:
        with pytest.raises(PayloadTooLarge, match=str(limit)):
            await compose(*sent, limit=limit)
    else:
        assert len(await compose(*sent, limit=limit)) == 1


async def test_shared_bulk_data_limit() -> None:
    """Instances that share bulk data cannot make their files much larger than the request may be."""
    shared = [image(number=number) for number in range(100)]

    with pytest.raises(PayloadTooLarge, match="share"):
        await compose(metadata(*shared), bulk(bytes(100_000)), limit=120_000)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (DICOM_JSON, b"[" + composed.MAX_VALUES * b"{}," + b"{}]"),
        (DICOM_XML, b"<NativeDicomModel>" + composed.MAX_VALUES * b"<a/>"),
    ],
    ids=["JSON", "XML"],
)
async def test_too_many_values(kind: str, content: bytes) -> None:
    """Metadata of more values than memory is there for is refused before it is parsed."""
    with pytest.raises(PayloadTooLarge, match="values"):
        await compose(({"content-type": kind}, content), kind=kind, limit=10**8)


async def test_pieces() -> None:
    """A file comes in pieces of which none is tiny, and large bulk data as it is."""
    dataset = image() | {f"0009{number:04X}": {"vr": "LO", "Value": ["x"]} for number in range(0x1000, 0x1100)}
    parts = parts_of([metadata(dataset), bulk(bytes(300_000))])

    [lengths] = [[len(chunk) async for chunk in file] async for file in compose_parts(parts, DICOM_JSON, 10**6)]

    assert len(lengths) == 2
    assert lengths[1] == 300_000


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
_ELEMENTS = st.fixed_dictionaries(
    {},
    optional={
        "vr": st.sampled_from(["LO", "PN", "US", "FD", "DS", "IS", "AT", "OB", "SQ", "UI", "XX"]) | _LEAVES,
        "Value": _LEAVES | st.lists(_LEAVES | st.fixed_dictionaries({"Alphabetic": _LEAVES}), max_size=3),
        "InlineBinary": _LEAVES,
        "BulkDataURI": _LEAVES,
    },
)
_DATASETS = st.dictionaries(
    st.sampled_from(["00080005", "00080018", "00100010", "00280008", "7FE00010", "00020010", "00081111", "x"]),
    _ELEMENTS | _LEAVES,
    max_size=4,
)


@given(_DATASETS, _DATASETS)
async def test_any_json(dataset: Json, nested: Json) -> None:
    """Whatever the metadata says, the answer is a readable file or an error of ours."""
    sent = dataset | {"00081111": {"vr": "SQ", "Value": [nested]}}
    try:
        content = orjson.dumps([sent])
    except orjson.JSONEncodeError:  # integers over 64 bits
        return

    try:
        files = await compose((JSON, content))
    except DicomwebError:
        return

    for file in files:
        assert isinstance(file, UnreadableFile) or read_header(file)


async def test_names_count() -> None:
    """What names a part of bulk data is held in memory with it, and counts: without content it is not free."""
    empty = [bulk(b"", location=f"{number:09000}") for number in range(10)]

    with pytest.raises(PayloadTooLarge):
        await compose(metadata(instance()), *empty, limit=80_000)
