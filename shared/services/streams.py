"""Several blobs at once, with a bound. Streams are closed by whoever holds them last, and close what they hold."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import TypeVar

from shared.model import ByteRange, ByteStream

Item = TypeVar("Item")

_closing: set[asyncio.Task[None]] = set()
"""Held, since the loop does not hold its tasks."""


async def read_ahead(
    items: AsyncIterable[Item], open_item: Callable[[Item], Awaitable[ByteStream]], depth: int
) -> AsyncGenerator[tuple[Item, ByteStream], None]:
    """Yield each item with its bytes, in order, while up to *depth* further ones are being opened.

    Memory is bounded by *depth* + 1 first chunks. The bytes that were yielded are the caller's to close.
    """
    opening: deque[tuple[Item, asyncio.Future[ByteStream]]] = deque()
    try:
        async for item in items:
            opening.append((item, asyncio.ensure_future(open_item(item))))
            if len(opening) > depth:
                yield await _first_opened(opening)
        while opening:
            yield await _first_opened(opening)
    finally:
        if opening:
            await _closed_all(opening)


async def _first_opened(opening: deque[tuple[Item, asyncio.Future[ByteStream]]]) -> tuple[Item, ByteStream]:
    """Take the first item once it is open; until then it stays, to be closed if the caller gives up."""
    item, chunks = opening[0]
    opened = await chunks
    opening.popleft()
    return item, opened


async def begun(stream: AsyncGenerator[Item, None]) -> AsyncGenerator[Item, None]:
    """Return *stream* after waiting for its first item, so that what fails at the start fails before the answer."""
    try:
        first = await anext(stream)
    except StopAsyncIteration:
        return stream
    return _resumed(first, stream)


async def _resumed(first: Item, rest: AsyncGenerator[Item, None]) -> AsyncGenerator[Item, None]:
    async with aclosing(rest):
        yield first
        async for item in rest:
            yield item


async def _closed_all(opening: deque[tuple[Item, asyncio.Future[ByteStream]]]) -> None:
    """Close what was opened, or stop opening it, in a task of its own.

    Starlette cancels a request whose client left again at each of its awaits, so that it could not wait for anything
    here.
    """
    closing = asyncio.get_running_loop().create_task(_closed([chunks for _, chunks in opening]))
    opening.clear()
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)
    await asyncio.shield(closing)


async def _closed(opening: list[asyncio.Future[ByteStream]]) -> None:
    for chunks in opening:
        await _closed_one(chunks)


async def _closed_one(chunks: asyncio.Future[ByteStream]) -> None:
    chunks.cancel()
    [opened] = await asyncio.gather(chunks, return_exceptions=True)
    if not isinstance(opened, BaseException):
        await opened.aclose()


async def each(items: Iterable[Item]) -> AsyncIterator[Item]:
    """Yield *items*."""
    for item in items:
        yield item


async def one_piece(content: bytes) -> ByteStream:
    """Yield bytes that are there already."""
    yield content


async def whole(stream: ByteStream) -> bytes:
    """Return all of a stream, which the caller knows to be short."""
    async with aclosing(stream) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def only(stream: ByteStream, start: int, ranges: Sequence[ByteRange]) -> ByteStream:
    """Yield those bytes of a stream that lie in rising *ranges*; *start* is the offset of its first byte."""
    async with aclosing(stream):
        remaining = list(reversed(ranges))
        async for chunk in stream:
            while remaining and remaining[-1].offset < start + len(chunk):
                one = remaining[-1]
                end = one.offset + one.length
                yield chunk[max(one.offset - start, 0) : end - start]
                if end > start + len(chunk):
                    break
                remaining.pop()
            start += len(chunk)


async def swapped(stream: ByteStream, width: int) -> ByteStream:
    """Yield a stream with the bytes of each *width* in opposite order; what is no whole number stays as it is."""
    held = b""
    async with aclosing(stream):
        async for chunk in stream:
            held += chunk
            whole_bytes = len(held) - len(held) % width
            words = bytearray(whole_bytes)
            for at in range(width):
                words[at::width] = held[width - 1 - at : whole_bytes : width]
            held = held[whole_bytes:]
            yield bytes(words)
    yield held
