"""A stored file in another transfer syntax, frame by frame (PS3.18 §8.7.3.5.2)."""

import asyncio
from collections.abc import Iterator

from shared.backend import Backend
from shared.dicom.bulk import BulkValue
from shared.dicom.frames import FRAMES_OF_A_PAGE
from shared.errors import NotDecodable
from shared.index.frames import pages_for
from shared.model import ByteStream
from shared.services.frames import Place, places_of, read_frame
from shared.services.source import Source, header_of, image_in, read_all
from shared.services.streams import begun

_TAIL_BYTES = 4 * 2**20
"""Behind the pixel data: what may stand there is short."""
_HEAD_BYTES = 100 * 2**20
"""Before it, or all of a file without: written anew in memory."""
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
    from shared.dicom.transcoding import header_bytes, transcode  # NumPy and the codecs

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
    if end > _HEAD_BYTES:
        raise NotDecodable(f"The elements beside pixel data are over {_HEAD_BYTES} bytes.")
    head = await read_all(source, 0, end)
    pieces = transcode(head, tail, frames(), image, source.transfer_syntax, transfer_syntax)
    while True:
        async with backend.decoding.turn(image.frame_bytes if image is not None else 0):
            piece = await asyncio.to_thread(next, pieces, None)
        if piece is None:
            return
        yield bytes(piece)


async def _places(source: Source, numbers: range, backend: Backend) -> list[Place]:
    pages = await backend.index.read(pages_for, source.instance.version, numbers)
    return await places_of(source, numbers, pages)


async def _behind(source: Source, value: BulkValue, count: int, backend: Backend) -> int:
    """Return where the element behind the pixel data begins."""
    if value.length is not None:
        return value.offset + value.length
    [last] = await _places(source, range(count, count + 1), backend)
    return last.end + last.end % 2 + _DELIMITER_BYTES
