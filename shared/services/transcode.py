"""A stored file in another transfer syntax, frame by frame (PS3.18 §8.7.3.5.2)."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing

from shared.backend import Backend
from shared.dicom.bulk import BulkValue
from shared.dicom.frames import FRAMES_OF_A_PAGE
from shared.errors import NotDecodable
from shared.index.frames import pages_for
from shared.model import ByteStream
from shared.services.frames import Place, places_of, read_frame
from shared.services.source import Source, header_of, image_in, read_all
from shared.services.streams import begun, swapped

_TAIL_BYTES = 4 * 2**20
"""Behind the pixel data: what may stand there is short."""
_HEAD_BYTES = 64 * 2**20
"""Before it, or all of a file without, but for long values: written anew in memory. Store takes no more."""
_LONG_BYTES = 2**20
"""Of a binary value that is not in memory as a whole."""
_TAG_DIGITS = 8
_LENGTH_BYTES = 4
"""Before such a value."""
_DELIMITER_BYTES = 8
"""Behind fragments (PS3.5 §A.4)."""


async def transcoded(source: Source, transfer_syntax: str, backend: Backend) -> ByteStream:
    """Return a file in another transfer syntax, its first frame already made.

    Raises
    ------
    NotFound
        The file is gone.
    NotDecodable
        Its pixel data cannot be had in *transfer_syntax*.
    """
    return await begun(_pieces(source, transfer_syntax, backend))


async def _pieces(source: Source, transfer_syntax: str, backend: Backend) -> ByteStream:
    from shared.dicom.transcoding import LongValue, header_bytes, transcode  # NumPy and the codecs

    header = await header_of(source)
    loop = asyncio.get_running_loop()

    def frames() -> Iterator[bytes]:
        """Yield the stored frames, read by the loop while this runs in a thread."""
        for first in range(1, count + 1, FRAMES_OF_A_PAGE):
            page = range(first, min(first + FRAMES_OF_A_PAGE, count + 1))
            for place in asyncio.run_coroutine_threadsafe(_places(source, page, backend), loop).result():
                yield asyncio.run_coroutine_threadsafe(read_frame(source, place, is_aligned=False), loop).result()

    count, image, tail, end = 0, None, b"", source.length_bytes
    if header.pixel_data is not None:
        image = image_in(header)
        count = image.frames
        end = header_bytes(header.pixel_data, source.transfer_syntax)
        after = await _behind(source, header.pixel_data, count, backend)
        tail = await read_all(source, after, min(source.length_bytes, after + _TAIL_BYTES))
    long = [one for one in header.bulk if _is_long(one) and one.offset < end]
    if end - sum(one.length or 0 for one in long) > _HEAD_BYTES:
        raise NotDecodable(f"The elements beside pixel data are over {_HEAD_BYTES} bytes.")
    head = await _without(source, long, end)
    async with AsyncExitStack() as opened:
        values = {one.path: LongValue(one.length or 0, _reader(source, one, loop, opened)) for one in long}
        pieces = transcode(head, tail, frames(), image, source.transfer_syntax, transfer_syntax, values)
        while True:
            async with backend.decoding.turn(image.frame_bytes if image is not None else 0):
                piece = await asyncio.to_thread(next, pieces, None)
            if piece is None:
                return
            yield bytes(piece)


def _is_long(value: BulkValue) -> bool:
    return len(value.path) == _TAG_DIGITS and value.length is not None and value.length > _LONG_BYTES


def _reader(
    source: Source, value: BulkValue, loop: asyncio.AbstractEventLoop, opened: AsyncExitStack
) -> Callable[[int], Iterator[bytes]]:
    """Return what reads a value in pieces (`LongValue`): the loop does while that runs in a thread."""

    async def open_value(width: int) -> ByteStream:
        stream = await source.read(value.offset, value.length or 0)
        return await opened.enter_async_context(aclosing(stream if width == 1 else swapped(stream, width)))

    def read(width: int) -> Iterator[bytes]:
        stream = asyncio.run_coroutine_threadsafe(open_value(width), loop).result()
        while (piece := asyncio.run_coroutine_threadsafe(_next_of(stream), loop).result()) is not None:
            yield piece

    return read


async def _next_of(stream: ByteStream) -> bytes | None:
    return await anext(stream, None)


async def _without(source: Source, values: Sequence[BulkValue], end: int) -> bytes:
    """Return the file up to *end*, with some values of the data set empty."""
    pieces, start = [], 0
    for one in values:
        pieces += [await read_all(source, start, one.offset - _LENGTH_BYTES), bytes(_LENGTH_BYTES)]
        start = one.offset + (one.length or 0)
    return b"".join([*pieces, await read_all(source, start, end)])


async def _places(source: Source, numbers: range, backend: Backend) -> list[Place]:
    pages = await backend.index.read(pages_for, source.instance.version, numbers)
    return await places_of(source, numbers, pages)


async def _behind(source: Source, value: BulkValue, count: int, backend: Backend) -> int:
    """Return where the element behind the pixel data begins."""
    if value.length is not None:
        return value.offset + value.length
    [last] = await _places(source, range(count, count + 1), backend)
    return last.end + last.end % 2 + _DELIMITER_BYTES
