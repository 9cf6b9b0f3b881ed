"""Bodies of plain JSON (`shared/web/plain_json.py`; common.md, "Plain-JSON conventions")."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from shared.web.plain_json import members, read_json, text_of, written_time


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"a": 1}]', [{"a": 1}]),
        ('[{"a": 1,},\n]', [{"a": 1}]),
        ('/* one */ ["a", // two\n "b" , /* , */ ]', ["a", "b"]),
        ('["// no comment", "/* none */", "a,]", "\\"//"]', ["// no comment", "/* none */", "a,]", '"//']),
        ("\ufeff[]", []),
    ],
)
async def test_read(text: str, expected: object) -> None:
    """Comments and commas behind the last member are passed over; within texts they are text."""
    assert await read_json(body(text[:3].encode(), text[3:].encode()), ["application/json; charset=utf-8"]) == expected


@pytest.mark.parametrize("content", [b"", b"{", b"[,]x", b"['a']", b"\xff"])
async def test_no_json(content: bytes) -> None:
    """What is no JSON is 400."""
    with pytest.raises(InvalidRequest):
        await read_json(body(content), ["application/json"])


@pytest.mark.parametrize("content_type", [[], [""], ["text/plain"], ["application/dicom+json"]])
async def test_media_type(content_type: list[str]) -> None:
    """A body of another type is 415."""
    with pytest.raises(UnsupportedMediaType):
        await read_json(body(b"[]"), content_type)


async def test_too_large() -> None:
    """A body of more than a megabyte is 413."""
    with pytest.raises(PayloadTooLarge):
        await read_json(body(b" " * 2**20, b"[]"), ["application/json"])


def test_members() -> None:
    """Names are read in any case; null is as if it were left out; a member that is no text is 400."""
    given = members({"Path": "a", "LEVEL": None, "vr": 3}, "[0]")

    assert text_of(given, "path", "[0].") == "a"
    assert text_of(given, "Level", "[0].") is None
    with pytest.raises(InvalidRequest, match=r"\[0\]\.VR"):
        text_of(given, "VR", "[0].")
    with pytest.raises(InvalidRequest, match=r"\[0\]"):
        members([], "[0]")


def test_time() -> None:
    """Times are ISO 8601 in UTC."""
    moment = datetime(2024, 5, 1, 10, 0, 0, 100000, timezone(timedelta(hours=2)))

    assert written_time(moment) == "2024-05-01T08:00:00.100000Z"
    assert written_time(moment.astimezone(UTC)) == "2024-05-01T08:00:00.100000Z"
