"""Read-ahead: order, bounds and tidiness."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from shared.errors import NotFound
from shared.model import ByteStream
from shared.services.streams import begun, read_ahead

_DEPTH = 3


class Source:
    """Items 0 to 9, and opened streams that count themselves; later ones open faster."""

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.given: list[int] = []

    async def items(self) -> AsyncGenerator[int, None]:
        for number in range(10):
            yield number

    async def open(self, number: int) -> ByteStream:
        self.opened.append(number)
        await asyncio.sleep(0.001 * (10 - number))
        return self.chunks(number)

    async def chunks(self, number: int) -> ByteStream:
        self.given.append(number)
        yield bytes([number])


async def test_order() -> None:
    """Items come in their order, each with its own bytes, however long each takes to open."""
    source = Source()

    found = [
        (number, b"".join([chunk async for chunk in chunks]))
        async for number, chunks in read_ahead(source.items(), source.open, _DEPTH)
    ]

    assert found == [(number, bytes([number])) for number in range(10)]


async def test_bound() -> None:
    """No more than the depth is opened ahead of the item in hand."""
    source = Source()
    stream = read_ahead(source.items(), source.open, _DEPTH)

    async for number, _ in stream:
        await asyncio.sleep(0.02)
        assert len(source.opened) <= number + 1 + _DEPTH


async def test_left_early() -> None:
    """What was being opened is cancelled when the reader leaves."""
    cancelled = []

    async def never(number: int) -> ByteStream:
        try:
            if number:
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return Source().chunks(number)

    stream = read_ahead(Source().items(), never, _DEPTH)
    await anext(stream)
    await asyncio.sleep(0)
    await stream.aclose()
    await asyncio.sleep(0)

    assert cancelled == [1, 2, 3]


async def test_begun_fails_at_once() -> None:
    """What fails at its first item fails before the answer begins."""

    async def failing() -> AsyncGenerator[int, None]:
        raise NotFound("gone")
        yield 0

    with pytest.raises(NotFound):
        await begun(failing())


async def test_begun_keeps_the_first() -> None:
    """The item that was waited for is not lost."""
    assert [number async for number in await begun(Source().items())] == list(range(10))
