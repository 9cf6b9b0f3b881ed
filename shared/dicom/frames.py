"""Where each frame lies in a file, found once when it is stored (PS3.5 §8, §A.4; PS3.3 §C.7.6.3).

A frame is a run of bits of native pixel data, or the fragments of one codestream. Frames are kept in pages, so that
any frame of the largest slide is found by reading one short row.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct
from typing import Any

from shared.dicom.attributes import tag_of
from shared.dicom.encapsulation import VIDEO
from shared.dicom.fragments import EXTENDED_OFFSETS, Fragments
from shared.dicom.header import BulkValue, Header
from shared.model import ByteRange, FramePage

FRAMES_OF_A_PAGE = 1024

_BITS = {"7FE00008": 32, "7FE00009": 64}
"""Bits Allocated of Float and Double Float Pixel Data, which need not say it (PS3.3 §C.7.6.24)."""

SUBSAMPLED = {"YBR_FULL_422": (2, 3), "YBR_PARTIAL_422": (2, 3), "YBR_PARTIAL_420": (1, 2)}
"""The part of its samples that a photometric interpretation stores natively (PS3.3 §C.7.6.3.1.2)."""

_NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
"""Transfer syntaxes with native pixel data in the file itself (PS3.5 §A.1 to §A.3)."""

_CODESTREAM_BEGINS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0c", b"\xff\x0a")
"""JPEG and JPEG-LS, JPEG 2000, a JP2 or JPEG XL file, JPEG XL."""

_END = Struct("<L")
_FRAGMENT = Struct("<QQ")


@dataclass(frozen=True, slots=True)
class _Image:
    """What a data set says of its pixels, as far as it matters here."""

    frames: int
    full_bits: int
    """Of one native frame with all of its samples; 0 when the data set does not tell."""
    bits: int
    """Of one native frame as it should be stored."""


def frame_pages(header: Header, file_bytes: int) -> tuple[FramePage, ...]:
    """Return where the frames of a file lie, in order; nothing when that cannot be told.

    Not told are the frames of a deflated data set, whose bytes are no part of the file, and those of fragments that
    neither offset tables nor codestreams attribute to frames.

    Parameters
    ----------
    file_bytes
        Length of the file: of pixel data that is cut off, the whole frames count.
    """
    pixels = header.pixel_data
    if pixels is None or header.is_deflated:
        return ()
    image = _image(header.dataset, pixels)
    if header.fragments is None:
        return _native(image, pixels, file_bytes) if header.transfer_syntax in _NATIVE else ()
    frames = 1 if header.transfer_syntax in VIDEO else image.frames
    return tuple(_encapsulated(header.fragments, _frame_ends(header.fragments, frames), file_bytes))


def frame_count(dataset: dict[str, Any]) -> int:
    """Return how many frames the pixel data of a data set is said to have (PS3.3 §C.7.6.6)."""
    return max(_whole(dataset, _FRAMES, 1), 1)


def frame_ranges(page: FramePage, frame: int) -> tuple[ByteRange, ...]:
    """Return the bytes of the file that hold a frame of *page*, counted from 1 for the first of the file.

    Several for a frame of several fragments. Native frames of one bit a pixel may begin and end within a byte: the
    bytes around them are included.
    """
    number = frame - page.first_frame
    if not page.fragments:
        start, stop = number * page.frame_bits, (number + 1) * page.frame_bits
        first, last = start // 8, -(-stop // 8)
        return (ByteRange(page.offset + first, last - first),)
    ends = page.frame_count * _END.size
    begin = _END.unpack_from(page.fragments, (number - 1) * _END.size)[0] if number else 0
    (end,) = _END.unpack_from(page.fragments, number * _END.size)
    places = (_FRAGMENT.unpack_from(page.fragments, ends + at * _FRAGMENT.size) for at in range(begin, end))
    return tuple(ByteRange(*place) for place in places)


_FRAMES, _ROWS, _COLUMNS, _SAMPLES, _ALLOCATED = map(
    tag_of, ("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
)
_INTERPRETATION = tag_of("PhotometricInterpretation")


def _image(dataset: dict[str, Any], pixels: BulkValue) -> _Image:
    bits = _BITS.get(pixels.path) or _whole(dataset, _ALLOCATED, 0)
    size = _whole(dataset, _ROWS, 0) * _whole(dataset, _COLUMNS, 0) * _whole(dataset, _SAMPLES, 1) * bits
    stored, of = SUBSAMPLED.get(str(_first(dataset, _INTERPRETATION)), (1, 1))
    return _Image(frame_count(dataset), size, size * stored // of)


def _whole(dataset: dict[str, Any], tag: str, missing: int) -> int:
    value = _first(dataset, tag)
    return value if isinstance(value, int) and value >= 0 else missing


def _first(dataset: dict[str, Any], tag: str) -> object:
    values = dataset.get(tag, {}).get("Value")
    return values[0] if values else None


def _native(image: _Image, pixels: BulkValue, file_bytes: int) -> tuple[FramePage, ...]:
    claimed = pixels.length or 0
    there = min(claimed, file_bytes - pixels.offset)
    # Some write a subsampled image with all of its samples; its length tells.
    is_full = claimed // 2 * 2 == -(-image.frames * image.full_bits // 16) * 2
    bits = image.full_bits if is_full else image.bits
    count = min(image.frames, there * 8 // bits) if bits else 0
    return (FramePage(1, count, pixels.offset, bits),) if count else ()


def _frame_ends(fragments: Fragments, frames: int) -> Sequence[int]:
    """Return for each frame how many fragments lie before its end; nothing when that cannot be told (PS3.5 §A.4)."""
    count = len(fragments)
    if not any(fragments.lengths):
        return ()
    for first_fragments in _attributions(fragments, frames):
        if len(first_fragments) == frames:
            return (*first_fragments[1:], count)
    return ()


def _attributions(fragments: Fragments, frames: int) -> Iterator[Sequence[int]]:
    """Yield what may be the first fragment of each frame, the most trustworthy first."""
    every = range(len(fragments))
    if frames == 1:
        yield every[:1]
    yield _at(fragments, _entries(fragments.extended.get(EXTENDED_OFFSETS, b""), Struct("<Q")))
    yield _at(fragments, _entries(fragments.basic or b"", Struct("<L")))
    yield every
    yield [number for number in every if fragments.lengths[number]]
    yield [number for number in every if fragments.beginning(number).startswith(_CODESTREAM_BEGINS)]


def _entries(table: bytes, entry: Struct) -> Sequence[int]:
    return () if len(table) % entry.size else [offset for (offset,) in entry.iter_unpack(table)]


def _at(fragments: Fragments, offsets: Sequence[int]) -> Sequence[int]:
    """Return the fragments at *offsets*, counted from the first one's item; nothing unless each is one, rising."""
    starts, count = fragments.starts, len(fragments)
    places = [starts[0] + offset for offset in offsets] if count else []
    numbers = [bisect_left(starts, place) for place in places]
    are_items = all(at < count and starts[at] == place for at, place in zip(numbers, places, strict=True))
    is_rising = numbers[:1] == [0] and all(one < other for one, other in pairwise(numbers))
    return numbers if are_items and is_rising else ()


def _encapsulated(fragments: Fragments, ends: Sequence[int], file_bytes: int) -> list[FramePage]:
    pages = []
    is_cut = bool(ends) and fragments.starts[-1] + fragments.lengths[-1] > file_bytes
    may_lack_fragments = not fragments.is_closed and len(ends) < len(fragments)
    if is_cut or may_lack_fragments:
        ends = ends[:-1]
    for first in range(0, len(ends), FRAMES_OF_A_PAGE):
        last = ends[first : first + FRAMES_OF_A_PAGE]
        begin = ends[first - 1] if first else 0
        packed = b"".join(_END.pack(end - begin) for end in last)
        places = range(begin, last[-1])
        packed += b"".join(_FRAGMENT.pack(fragments.starts[at], fragments.lengths[at]) for at in places)
        pages.append(FramePage(first + 1, len(last), fragments=packed))
    return pages


def page_ranges(page: FramePage) -> Iterator[tuple[ByteRange, ...]]:
    """Yield the bytes that hold each frame of *page*, in order."""
    return (frame_ranges(page, page.first_frame + number) for number in range(page.frame_count))


def aligned(around: bytes, bit: int, bits: int) -> bytes:
    """Return *bits* of 1-bit pixels from *bit* of the bytes *around* them, beginning at a byte's lowest bit.

    What is left of the last byte is 0 (PS3.5 §8.1.1).
    """
    value = int.from_bytes(around, "little") >> bit & (1 << bits) - 1
    return value.to_bytes(-(-bits // 8), "little")
