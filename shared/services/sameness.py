"""Whether a file that replaces another is the same byte for byte."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing

from shared.errors import NotFound
from shared.model import Buffer, NewInstance, StoredInstance
from shared.storage.blobs import BlobStore, instance_blob


async def is_same_file(stored: StoredInstance | NewInstance, body: Buffer, blobs: BlobStore) -> bool:
    """Return whether a whole file in memory is what is stored; one whose bytes are lost is not."""

    async def given() -> AsyncIterator[Buffer]:
        yield body

    return stored.length_bytes == len(body) and await _digest_of(stored.version, blobs) == await _digest(given())


async def is_same_blob(stored: StoredInstance | NewInstance, version: int, length_bytes: int, blobs: BlobStore) -> bool:
    """Return whether the file that was just written under *version* is what is stored."""
    return stored.length_bytes == length_bytes and await _digest_of(stored.version, blobs) == await _digest_of(
        version, blobs
    )


async def _digest_of(version: int, blobs: BlobStore) -> bytes | None:
    try:
        async with aclosing(await blobs.read(instance_blob(version))) as chunks:
            return await _digest(chunks)
    except NotFound:
        return None


async def _digest(chunks: AsyncIterable[Buffer]) -> bytes:
    digest = hashlib.sha256()
    async for chunk in chunks:
        await asyncio.to_thread(digest.update, chunk)
    return digest.digest()
