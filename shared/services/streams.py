"""Several blobs at once, with a bound. Streams are closed by whoever holds them last, and close what they hold."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from shared.model import ByteStream

Item = TypeVar("Item")


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
                first, chunks = opening.popleft()
                yield first, await chunks
        while opening:
            first, chunks = opening.popleft()
            yield first, await chunks
    finally:
        for _, chunks in opening:
            await _closed(chunks)


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


async def _closed(chunks: asyncio.Future[ByteStream]) -> None:
    """Close what was opened, or stop opening it."""
    chunks.cancel()
    [opened] = await asyncio.gather(chunks, return_exceptions=True)
    if not isinstance(opened, BaseException):
        await opened.aclose()
