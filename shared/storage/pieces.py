"""Joins what arrives in small chunks into pieces worth a call of their own."""

from collections.abc import AsyncIterable, AsyncIterator

from shared.model import Buffer


async def joined(chunks: AsyncIterable[Buffer], least_bytes: int) -> AsyncIterator[Buffer]:
    """Yield *chunks* in pieces of at least *least_bytes*, the last one excepted; nothing is yielded for no bytes.

    A chunk that is large enough alone is passed on as it is. Less than *least_bytes* and one chunk are held.
    """
    held: list[Buffer] = []
    held_bytes = 0
    async for chunk in chunks:
        if not chunk:
            continue
        held.append(chunk)
        held_bytes += len(chunk)
        if held_bytes >= least_bytes:
            piece = _join(held)
            held, held_bytes = [], 0
            yield piece
            del piece  # not held beside the next one
    if held:
        yield _join(held)


def _join(chunks: list[Buffer]) -> Buffer:
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
