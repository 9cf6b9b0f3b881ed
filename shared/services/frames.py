"""Retrieve frames: their bytes as they lie in the file, neighbours read together, or in another form (PS3.18 §10.4).

A frame is found through the frame table made at Store. Only where that is silent, or where a frame must be decoded,
is the file's header read again.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from shared.backend import Backend
from shared.dicom.frames import aligned, frame_count, frame_pages, frame_ranges
from shared.dicom.image import Image
from shared.dicom.syntaxes import BIG_ENDIAN, EXPLICIT
from shared.dicom.transfer_syntaxes import LITTLE_ENDIAN, is_convertible
from shared.errors import NotAcceptable, NotDecodable, NotFound
from shared.index.frames import locate
from shared.model import AS_STORED, ByteRange, ByteStream, FramePage, Scope, StoredInstance, Wish
from shared.services.source import Source, header_of, image_in, source_of
from shared.services.streams import begun, each, one_piece, only, read_ahead, whole

_READ_BYTES = 4 * 2**20
"""Of neighbouring frames read together, at most."""
_GAP_BYTES = 64 * 2**10
"""Between frames that are still neighbours: less to read than another request would cost."""

_AHEAD_BYTES = 16 * 2**20
"""Of decoded frames that wait to be sent, at most, but for the first."""

Frames: TypeAlias = AsyncGenerator[tuple[int, ByteStream], None]
"""Frames by number, each with its bytes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame lies: bytes of the file, of which `bits` from bit `bit` on are the frame; 0 for all of them."""

    frame: int
    ranges: tuple[ByteRange, ...]
    bit: int = 0
    bits: int = 0

    @property
    def start(self) -> int:
        """Return the offset of its first byte."""
        return self.ranges[0].offset

    @property
    def end(self) -> int:
        """Return the offset behind its last byte."""
        return self.ranges[-1].offset + self.ranges[-1].length


@dataclass(frozen=True, slots=True)
class FoundFrames:
    """Frames that can be given.

    Parameters
    ----------
    wish
        The one that is met.
    transfer_syntax
        That the frames are given in.
    length_bytes
        Of all frames together; None when that is known only when they are made.
    frames
        In the order asked for.
    """

    wish: Wish
    instance: StoredInstance
    transfer_syntax: str
    length_bytes: int | None
    frames: Frames


async def retrieve_frames(
    scope: Scope, numbers: Sequence[int], wishes: Sequence[Wish], backend: Backend
) -> FoundFrames:
    """Return frames of an instance, counted from 1, in the first form of *wishes* that they can be had in.

    Raises
    ------
    NotFound
        The instance, its pixel data or one of the frames is not there.
    NotAcceptable
        None of the wishes can be met.
    """
    instance, pages = await backend.index.read(locate, scope, numbers)
    if instance is None:
        raise NotFound("Nothing is stored under these UIDs.")
    source = await source_of(instance, backend)
    places = await places_of(source, numbers, pages)
    failure: NotDecodable | None = None
    for wish, syntax in _choices(wishes, instance.transfer_syntax):
        try:
            return await _frames_in(wish, syntax, source, places, backend)
        except NotDecodable as error:
            failure = failure or error
    raise failure or NotAcceptable(
        f"Stored as transfer syntax {instance.transfer_syntax}, and none that Accept names can be made of it."
    )


async def _frames_in(wish: Wish, syntax: str, source: Source, places: Sequence[Place], backend: Backend) -> FoundFrames:
    """Return frames in one of the forms that they may be had in; raises `NotDecodable` where they cannot."""
    instance = source.instance
    if syntax == instance.transfer_syntax or {syntax, source.transfer_syntax} <= LITTLE_ENDIAN:
        length = sum(-(-one.bits // 8) or sum(part.length for part in one.ranges) for one in places)
        return FoundFrames(
            wish, instance, syntax, length, await begun(stored_frames(source, places, backend.settings.read_ahead))
        )
    return FoundFrames(wish, instance, syntax, None, await begun(_converted_frames(source, places, syntax, backend)))


def _choices(wishes: Sequence[Wish], stored: str) -> Iterator[tuple[Wish, str]]:
    """Yield the wishes that pixel data of a stored transfer syntax may meet, each with the syntax to give it in."""
    for wish in wishes:
        if wish.transfer_syntax == AS_STORED and stored == BIG_ENDIAN:
            yield wish, EXPLICIT  # octets are in little endian (PS3.18 §8.7.3.3)
        elif wish.transfer_syntax in {AS_STORED, stored} or stored in wish.others:
            yield wish, stored
        elif is_convertible(stored, wish.transfer_syntax):
            yield wish, wish.transfer_syntax


async def places_of(source: Source, numbers: Sequence[int], pages: Sequence[FramePage | None]) -> list[Place]:
    """Return where frames lie; the header tells why the frame table does not know one, or knows better."""
    if None in pages:
        header = await header_of(source)
        if header.pixel_data is None:
            raise NotFound("The instance has no pixel data.")
        known, count = frame_pages(header, source.length_bytes), frame_count(header.dataset)
        missing = [number for number in numbers if number > count]
        if missing:
            raise NotFound(f"There is no frame {missing[0]}; the instance has {count}.")
        pages = [_page(known, number) for number in numbers]
    places = [_place(number, page) for number, page in zip(numbers, pages, strict=True) if page is not None]
    if len(places) < len(numbers):
        raise NotDecodable("The pixel data does not tell where its frames lie.")
    return places


def _page(pages: Sequence[FramePage], number: int) -> FramePage | None:
    return next((one for one in pages if one.first_frame <= number < one.first_frame + one.frame_count), None)


def _place(number: int, page: FramePage) -> Place:
    bit = (number - 1) * page.frame_bits % 8
    is_on_border = bit == 0 and page.frame_bits % 8 == 0
    return Place(number, frame_ranges(page, number), bit, 0 if is_on_border else page.frame_bits)


async def read_frame(source: Source, place: Place, *, is_aligned: bool = True) -> bytes:
    """Return one frame as it is stored; one of bits from the start of a byte on, or with what is around it."""
    data = await whole(await source.read(place.start, place.end - place.start))
    return _frame(data, place.start, place if is_aligned else replace(place, bits=0))


async def stored_frames(source: Source, places: Sequence[Place], depth: int) -> Frames:
    """Yield frames as they are stored, neighbours read together; up to *depth* runs of them ahead."""

    async def open_run(run: list[Place]) -> ByteStream:
        return await source.read(run[0].start, run[-1].end - run[0].start)

    async for run, chunks in read_ahead(_runs(places), open_run, depth):
        if len(run) == 1 and not run[0].bits:
            yield run[0].frame, only(chunks, run[0].start, run[0].ranges)
            continue
        data, start = await whole(chunks), run[0].start
        for one in run:
            yield one.frame, one_piece(_frame(data, start, one))


async def _converted_frames(source: Source, places: Sequence[Place], syntax: str, backend: Backend) -> Frames:
    """Yield frames in another transfer syntax."""
    image = image_in(await header_of(source))

    async def convert(one: Place) -> ByteStream:
        async with backend.decoding.turn(image.frame_bytes):  # read only now: who waits holds no frame
            frame = await read_frame(source, one)
            return one_piece(await asyncio.to_thread(_recoded, frame, image, source.transfer_syntax, syntax))

    async for place, chunks in read_ahead(each(places), convert, decoded_ahead(image, backend.settings.read_ahead)):
        yield place.frame, chunks


def decoded_ahead(image: Image, depth: int) -> int:
    """Return how many frames may be made before they are sent: *depth*, or fewer of large ones."""
    return min(depth, _AHEAD_BYTES // max(image.frame_bytes, 1))


def _recoded(frame: bytes, image: Image, stored: str, wanted: str) -> bytes:
    from shared.dicom.pixels import native_frame, recode_frame  # NumPy and the codecs

    if wanted == EXPLICIT:
        return bytes(native_frame(frame, stored, image))
    return recode_frame(frame, stored, image, wanted)


def _frame(data: bytes, start: int, place: Place) -> bytes:
    """Return a frame out of the bytes from *start* on."""
    parts = [data[part.offset - start : part.offset - start + part.length] for part in place.ranges]
    frame = parts[0] if len(parts) == 1 else b"".join(parts)
    return aligned(frame, place.bit, place.bits) if place.bits else frame


async def _runs(places: Sequence[Place]) -> AsyncIterator[list[Place]]:
    """Yield frames that are read together: in the order asked for, each behind the one before and near it."""
    run: list[Place] = []
    for one in places:
        if run and not (0 <= one.start - run[-1].end <= _GAP_BYTES and one.end - run[0].start <= _READ_BYTES):
            yield run
            run = []
        run.append(one)
    if run:
        yield run
