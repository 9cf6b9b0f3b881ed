"""A stored file as Retrieve reads it: any run of its bytes, and its header again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from shared.backend import Backend
from shared.dicom.header import Header, HeaderReader
from shared.dicom.image import Image, image_of
from shared.dicom.syntaxes import EXPLICIT
from shared.dicom.transfer_syntaxes import INFLATABLE
from shared.errors import DependencyFailed, NotDecodable, NotFound
from shared.model import ByteStream, StoredInstance
from shared.services.new_instance import SHORT_HEADER_BYTES
from shared.services.streams import one_piece, whole
from shared.storage.blobs import instance_blob

MAX_INFLATED_BYTES = 64 * 2**20
"""Of a deflated file, which is held in memory where a part of it is asked for."""

_FIRST_BYTES = 256 * 2**10
"""Read of a header at first: more than almost every one has."""
_MOST_BYTES = 4 * 2**20
"""Read of it at a time."""
_GAP_BYTES = 256 * 2**10
"""Of a value that is not read but passed over: less would not be worth another read."""


@dataclass(frozen=True, slots=True)
class Source:
    """A stored file; of a deflated one, what it would be if it had been stored inflated.

    Parameters
    ----------
    transfer_syntax
        Of the bytes that are read.
    length_bytes
        Of all of them.
    read
        Opens bytes by offset and number; fewer come where the file ends.
    """

    instance: StoredInstance
    transfer_syntax: str
    length_bytes: int
    read: Callable[[int, int], Awaitable[ByteStream]]


def reader_of(instance: StoredInstance, backend: Backend) -> Callable[[int, int], Awaitable[ByteStream]]:
    """Return what opens bytes of a stored file by offset and number; what is cut short breaks off, and does not end."""

    async def read(start: int, length: int) -> ByteStream:
        chunks = await backend.blobs.read(instance_blob(instance.version), start=start, length=length)
        return _complete(chunks, min(length, instance.length_bytes - start))

    return read


async def _complete(stream: ByteStream, length: int) -> ByteStream:
    async with aclosing(stream):
        async for chunk in stream:
            length -= len(chunk)
            yield chunk
    if length > 0:
        raise DependencyFailed("The stored file is shorter than what was stored: it was altered outside this service.")


async def source_of(instance: StoredInstance, backend: Backend) -> Source:
    """Return the file of a stored instance.

    Raises
    ------
    NotDecodable
        It is deflated and larger than may be inflated.
    """
    read = reader_of(instance, backend)
    if instance.transfer_syntax not in INFLATABLE:
        return Source(instance, instance.transfer_syntax, instance.length_bytes, read)
    if instance.length_bytes > MAX_INFLATED_BYTES:
        raise NotDecodable(f"Deflated, and over {MAX_INFLATED_BYTES} bytes.")
    async with backend.decoding.turn(instance.length_bytes):
        deflated = await whole(await read(0, instance.length_bytes))
        file = await asyncio.to_thread(_inflated, deflated)

    async def read_inflated(start: int, length: int) -> ByteStream:
        return one_piece(file[start : start + length])

    return Source(instance, EXPLICIT, len(file), read_inflated)


def image_in(header: Header) -> Image:
    """Return what a header says of its pixels.

    Raises
    ------
    NotFound
        There are none.
    NotDecodable
        They cannot be told.
    """
    pixels = header.pixel_data
    if pixels is None:
        raise NotFound("The instance has no pixel data.")
    return image_of(header.dataset, pixels)


def _inflated(deflated: bytes) -> bytes:
    from shared.dicom.transcoding import inflate  # NumPy and the codecs

    return inflate(deflated, max_bytes=MAX_INFLATED_BYTES)


async def header_of(source: Source, *, is_whole: bool = False) -> Header:
    """Return the header of a file. Long values are not read.

    Parameters
    ----------
    is_whole
        With what lies behind the pixel data.

    Raises
    ------
    NotFound
        The file is gone.
    DependencyFailed
        It is shorter than it was.
    """
    reader = HeaderReader()
    start, wanted = 0, _FIRST_BYTES
    while start < source.length_bytes and (is_whole or reader.pixel_data is None):
        async with aclosing(await source.read(start, wanted)) as chunks:
            async for chunk in chunks:
                await _feed(reader, chunk, is_whole=is_whole)
                start += len(chunk)
        skipped = min(reader.ahead, source.length_bytes - start)
        if skipped >= _GAP_BYTES:
            reader.skip(skipped)
            start += skipped
        wanted = min(wanted * 4, _MOST_BYTES)
    return reader.finish() if is_whole or reader.pixel_data is None else reader.so_far()


async def _feed(reader: HeaderReader, chunk: bytes, *, is_whole: bool) -> None:
    """Read on, in a thread what may take more than a few milliseconds."""
    head, rest = memoryview(chunk)[:SHORT_HEADER_BYTES], memoryview(chunk)[SHORT_HEADER_BYTES:]
    reader.feed(head)
    if reader.pixel_data is not None and not is_whole:
        return
    if reader.ahead >= len(rest):
        reader.skip(len(rest))
    else:
        await asyncio.to_thread(reader.feed, rest)


async def read_all(source: Source, start: int, end: int) -> bytes:
    """Return the bytes from *start* up to *end*, which the caller knows to be few."""
    return await whole(await source.read(start, end - start)) if end > start else b""
