"""What a Store request may hold (`shared/web/payloads.py`; store.md, "Request" and "Multipart rules")."""

import gzip
from collections.abc import AsyncIterator

import orjson
import pytest

from shared.dicom.header import read_header
from shared.dicom.native_model import to_xml
from shared.errors import DicomwebError, InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from shared.web.payloads import read_files
from tests.factories import multipart

_DICOM = "Content-Type: application/dicom"


async def files(body: bytes, *content_type: str, encoding: tuple[str, ...] = (), **limits: int) -> list[bytes]:
    """Read the files of a body that arrives in pieces."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 5):
            yield body[start : start + 5]

    return [
        b"".join([bytes(chunk) async for chunk in file])
        async for file in read_files(chunks(), list(content_type), list(encoding), **limits)
    ]


def body_of(*parts: tuple[str, bytes]) -> bytes:
    """Return a multipart body of header lines, "" for none, and contents; its boundary is b."""
    heads = [f"{line}\r\n" if line else "" for line, _ in parts]
    made = [f"--b\r\n{head}\r\n".encode() + file + b"\r\n" for head, (_, file) in zip(heads, parts, strict=True)]
    return b"".join([*made, b"--b--\r\n"])


@pytest.mark.parametrize(
    "content_type",
    [
        "application/dicom",
        "Application/DICOM",
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50",
        'application/dicom; transfer-syntax="*"; charset=utf-8',
    ],
)
@pytest.mark.parametrize("body", [b"DICM and so on", b""], ids=["file", "empty"])
async def test_single_part(body: bytes, content_type: str) -> None:
    """A body of application/dicom, with or without parameters, is one file, also an empty one."""
    assert await files(body, content_type) == [body]


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/related; type="application/dicom"; boundary=b',
        'multipart/related; type="application/dicom"; boundary="b"',
        "multipart/related; boundary=b; type=application/dicom",
        "Multipart/Related;TYPE=Application/Dicom;Boundary=b",
        "multipart/related; boundary=b",
    ],
)
async def test_multipart(content_type: str) -> None:
    """Every spelling of multipart/related is understood; a type is not needed when the parts state theirs."""
    assert await files(body_of((_DICOM, b"one"), (_DICOM, b"two")), content_type) == [b"one", b"two"]


@pytest.mark.parametrize(
    "content_type",
    [
        (),
        ("",),
        ("text/plain",),
        ("application/json",),
        ("application/octet-stream",),
        ("multipart/form-data; boundary=b",),
        ("multipart/mixed; boundary=b",),
        ("multipart/related",),
        ("multipart/related; boundary=",),
        ('multipart/related; boundary=" "',),
        ("multipart/related; boundary=" + 71 * "b",),
        ('multipart/related; boundary="b "',),
        ('multipart/related; boundary="bä"',),
    ],
    ids=repr,
)
async def test_unsupported(content_type: tuple[str, ...]) -> None:
    """Another type, none at all, and a multipart type without a usable boundary are 415."""
    with pytest.raises(UnsupportedMediaType):
        await files(body_of((_DICOM, b"one")), *content_type)


@pytest.mark.parametrize("boundary", ["b" * 70, "----=_Part_0.1", "=:?/,+()'", "a b", "c9bb2f5e-1b7c-4b9e-8f7e"])
async def test_boundaries(boundary: str) -> None:
    """A boundary may have 70 characters, and blanks within."""
    body, content_type = multipart([b"one"], boundary=boundary)

    assert await files(body, content_type) == [b"one"]


@pytest.mark.parametrize("start", ['"<1>"', "1", '""'])
async def test_start(start: str) -> None:
    """A start parameter, valid or not, is 400."""
    with pytest.raises(InvalidRequest, match="start"):
        await files(body_of((_DICOM, b"one")), f"multipart/related; boundary=b; start={start}")


_WITH_TYPE, _WITHOUT = "multipart/related; type=application/dicom; boundary=b", "multipart/related; boundary=b"


@pytest.mark.parametrize(
    ("content_type", "parts", "expected"),
    [
        (_WITH_TYPE, [("", b"one")], [b"one"]),
        (_WITH_TYPE, [("", b"one"), (_DICOM, b"two")], [b"one", b"two"]),
        (_WITH_TYPE, [(_DICOM, b"one"), ("", b"two")], UnsupportedMediaType),
        (_WITH_TYPE, [("", b"one"), ("", b"two")], UnsupportedMediaType),
        (_WITH_TYPE, [("Content-Type:", b"one")], UnsupportedMediaType),
        (_WITH_TYPE, [("Content-Type: text/plain", b"one")], UnsupportedMediaType),
        (_WITH_TYPE, [(_DICOM, b"one"), ("Content-Type: text/plain", b"two")], UnsupportedMediaType),
        (_WITH_TYPE, [("Content-Type: application/dicom+json", b"one")], UnsupportedMediaType),
        (_WITH_TYPE, [("content-type:APPLICATION/DICOM", b"one")], [b"one"]),
        (_WITH_TYPE, [('Content-Type: application/dicom; transfer-syntax="1.2"', b"one")], [b"one"]),
        (_WITH_TYPE, [(_DICOM, b""), (_DICOM, b"two")], [b"", b"two"]),
        (_WITH_TYPE, [(_DICOM, b"not DICOM")], [b"not DICOM"]),
        (_WITH_TYPE, [], []),
        (_WITHOUT, [(_DICOM, b"one")], [b"one"]),
        (_WITHOUT, [("", b"one")], UnsupportedMediaType),
        ("multipart/related; type=text/plain; boundary=b", [("", b"one")], UnsupportedMediaType),
        ("multipart/related; type=text/plain; boundary=b", [(_DICOM, b"one")], [b"one"]),
    ],
)
async def test_types_of_parts(
    content_type: str, parts: list[tuple[str, bytes]], expected: list[bytes] | type[DicomwebError]
) -> None:
    """Each part states its type; only the first may leave it to the type of the whole. Contents are not looked at."""
    if isinstance(expected, list):
        assert await files(body_of(*parts), content_type) == expected
    else:
        with pytest.raises(expected, match=f"Part {len(parts)} "):
            await files(body_of(*parts), content_type)


async def test_other_part_headers() -> None:
    """Other header fields of a part, those of a form among them, are ignored (clients.md)."""
    lines = [
        _DICOM,
        'Content-Disposition: form-data; name="file"; filename="x"',
        "Content-ID: <1>",
        "Content-Location: /1",
    ]

    body, content_type = multipart([b"one"], part_headers=lines)

    assert await files(body, content_type) == [b"one"]


@pytest.mark.parametrize("body", [b"", b"DICM", b"--b\r\n\r\nnever closed"], ids=repr)
async def test_not_multipart(body: bytes) -> None:
    """A body that is not the multipart message that it says it is, or ends early, is 400."""
    with pytest.raises(InvalidRequest):
        await files(body, _WITH_TYPE)


@pytest.mark.parametrize("encoding", [(), ("",), ("identity",), ("Identity ",)], ids=repr)
async def test_identity(encoding: tuple[str, ...]) -> None:
    """A body that is sent as it is may say so."""
    assert await files(b"DICM", "application/dicom", encoding=encoding) == [b"DICM"]


@pytest.mark.parametrize("encoding", [("br",), ("identity", "zstd"), ("gzip, br",), ("gzip, gzip, gzip",)], ids=repr)
async def test_unknown_encoding(encoding: tuple[str, ...]) -> None:
    """An encoding that is not taken is 415, never taken for a file that cannot be read (RFC 9110 §15.5.16)."""
    with pytest.raises(UnsupportedMediaType, match="Content-Encoding"):
        await files(b"DICM", "application/dicom", encoding=encoding)


@pytest.mark.parametrize("content_type", ["application/dicom", "multipart/related; boundary=b"])
async def test_encoded(content_type: str) -> None:
    """Every kind of body may be compressed (RFC 9110 §8.4)."""
    body = b"DICM" if content_type == "application/dicom" else body_of((_DICOM, b"DICM"))

    assert await files(gzip.compress(body), content_type, encoding=("gzip",)) == [b"DICM"]


async def test_inflated_limit() -> None:
    """What a body inflates to is bounded like a body itself."""
    with pytest.raises(PayloadTooLarge):
        await files(gzip.compress(bytes(1001)), "application/dicom", encoding=("gzip",), inflated_limit=1000)


_MINIMAL = {"00080018": {"vr": "UI", "Value": ["1.2"]}}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/dicom+json", orjson.dumps([_MINIMAL])),
        ("Application/DICOM+JSON; charset=utf-8", orjson.dumps([_MINIMAL])),
        ("application/dicom+xml", to_xml(_MINIMAL)),
        (
            'multipart/related; type="application/dicom+json"; boundary=b',
            body_of(("Content-Type: application/dicom+json", orjson.dumps([_MINIMAL]))),
        ),
        ("multipart/related; type=Application/DICOM+JSON; boundary=b", body_of(("", orjson.dumps([_MINIMAL])))),
        (
            'multipart/related; type="application/dicom+xml"; boundary=b',
            body_of(("Content-Type: application/dicom+xml", to_xml(_MINIMAL))),
        ),
    ],
)
async def test_metadata(content_type: str, body: bytes) -> None:
    """Metadata, in JSON or XML, alone or in parts, becomes files (PS3.18 §10.5.1)."""
    [file] = await files(body, content_type)

    assert read_header(file).dataset == _MINIMAL


async def test_composed_limit() -> None:
    """A body that is held in memory has a smaller limit."""
    with pytest.raises(PayloadTooLarge):
        await files(b"[" + 1000 * b" " + b"]", "application/dicom+json", composed_limit=1000)


@pytest.mark.parametrize("boundary", ["b,c", "'()+_,-./:=?", "----=_Part_0,1"])
async def test_boundary_without_quotes(boundary: str) -> None:
    """A boundary may come without quotes, also where RFC 9110 would have them."""
    body, _ = multipart([b"one"], boundary=boundary)

    assert await files(body, f"multipart/related; boundary={boundary}; type=application/dicom") == [b"one"]


@pytest.mark.parametrize("kind", ["application/dicom", "application/dicom+json"])
async def test_most_parts(kind: str) -> None:
    """A body of more parts than the limit is refused, whatever they hold."""
    first = (f"Content-Type: {kind}", orjson.dumps([{"00080018": {"vr": "UI", "Value": ["1.2"]}}]))
    rest = (f"Content-Type: {kind}", b"[]")
    given = f'multipart/related; type="{kind}"; boundary=b'

    assert await files(body_of(first, rest), given, most_parts=2)
    with pytest.raises(PayloadTooLarge, match="more than 2 parts"):
        await files(body_of(first, rest, rest), given, most_parts=2)
