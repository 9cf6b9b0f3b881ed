"""Several blobs at once, with a bound."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import TypeVar

Item = TypeVar("Item")


async def read_ahead(
    items: AsyncIterable[Item], open_item: Callable[[Item], Awaitable[AsyncIterator[bytes]]], depth: int
) -> AsyncGenerator[tuple[Item, AsyncIterator[bytes]], None]:
    """Yield each item with its bytes, in order, while up to *depth* further ones are being opened.

    Memory is bounded by *depth* + 1 first chunks. What was opened and not reached is closed.
    """
    opening: deque[tuple[Item, asyncio.Future[AsyncIterator[bytes]]]] = deque()
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
            chunks.cancel()


async def begun(stream: AsyncIterator[Item]) -> AsyncIterator[Item]:
    """Return *stream* after waiting for its first item, so that what fails at the start fails before the answer."""
    try:
        first = await anext(stream)
    except StopAsyncIteration:
        return stream
    return _resumed(first, stream)


async def _resumed(first: Item, rest: AsyncIterator[Item]) -> AsyncIterator[Item]:
    yield first
    async for item in rest:
        yield item
