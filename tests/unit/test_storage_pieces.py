"""Chunks joined into pieces."""

from collections.abc import AsyncIterator

import pytest

from shared.model import Buffer
from shared.storage.pieces import joined


@pytest.mark.parametrize(
    ("chunks", "pieces"),
    [
        ([], []),
        ([b""], []),
        ([b"1"], [b"1"]),
        ([b"1", b"2", b"3", b"4", b"5"], [b"123", b"45"]),
        ([b"123", b""], [b"123"]),
        ([b"12", b"345", b"6"], [b"12345", b"6"]),
        ([bytearray(b"1"), memoryview(b"23")], [b"123"]),
    ],
)
async def test_joined(chunks: list[Buffer], pieces: list[bytes]) -> None:
    """Every piece but the last is long enough, none is empty, and no byte is lost or moved."""

    async def arriving() -> AsyncIterator[Buffer]:
        for chunk in chunks:
            yield chunk

    assert [bytes(piece) async for piece in joined(arriving(), 3)] == pieces


async def test_joined_as_it_is() -> None:
    """A chunk that is long enough alone is passed on without a copy."""
    chunk = bytes(10)

    async def arriving() -> AsyncIterator[Buffer]:
        yield chunk

    assert await anext(joined(arriving(), 3)) is chunk
