"""Whole Part 10 files in another transfer syntax, piece by piece (PS3.10 §7; PS3.5 §8, §A)."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from struct import pack, unpack_from
from types import MappingProxyType

import numpy as np

from shared.dicom import syntaxes
from shared.dicom.bulk import BulkValue
from shared.dicom.codecs import Array
from shared.dicom.elements import LONG
from shared.dicom.encapsulation import ITEM, UNDEFINED
from shared.dicom.explicit import Elements, bytes_in_number, element, head, read_elements, read_tail, value_of, vr_in
from shared.dicom.image import Image, Numbers
from shared.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from shared.dicom.pixels import decode_frame, native_frame, photometric_after, recode_frame
from shared.errors import NotDecodable
from shared.model import Buffer

_PREAMBLE = bytes(128) + b"DICM"
_META_LENGTH_AT, _META_AT = 132, 144
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_IMPLICIT_HEAD, _EXPLICIT_HEAD = 8, 12
"""Bytes of tag, VR and length of pixel data."""
_PIXEL_GROUP = "7FE0"
_TRAILING_PADDING = "FFFCFFFC"
_ICON = "00880200"
_ENCAPSULATED = head("7FE00010", "OB", UNDEFINED)
_SAMPLES, _PHOTOMETRIC, _PLANAR, _HIGH_BIT = "00280002", "00280004", "00280006", "00280102"
_IS_LOSSY, _LOSSY_METHOD = "00282110", "00282114"
_SOP_CLASS, _SOP_INSTANCE = "00080016", "00080018"
_META_SOP_CLASS, _META_SOP_INSTANCE = "00020002", "00020003"
_LONGEST_VALUE = 0xFFFFFFFE
_WAVELETS = frozenset({syntaxes.JPEG_2000_LOSSLESS, syntaxes.HTJ2K_LOSSLESS})


@dataclass(frozen=True, slots=True)
class LongValue:
    """A value that is read in pieces.

    Parameters
    ----------
    length
        In bytes.
    read
        Opens it; given how many bytes make a number, the bytes of each in opposite order.
    """

    length: int
    read: Callable[[int], Iterable[Buffer]]


def transcode(
    header: Buffer,
    tail: Buffer,
    frames: Iterable[Buffer],
    image: Image | None,
    source: str,
    target: str,
    long_values: Mapping[str, LongValue] = MappingProxyType({}),
) -> Iterator[Buffer]:
    """Yield the pieces of a file in another transfer syntax; one frame at a time is in memory.

    Pixels stay what they are, bit for bit; what was lossy is said to be. Elements keep their values, private ones
    too, and text its character set. Nothing is yielded before the first frame has been decoded.

    Parameters
    ----------
    header
        The file up to the tag of its pixel data; all of it when it has none. Not deflated: see `inflate`.
    tail
        What follows the pixel data, and their delimiter.
    frames
        Each stored frame, its fragments joined; of native ones the bytes around it. As many as *image* says.
    image
        None for a file without pixel data.
    long_values
        By tag, values of the data set that are empty in *header*, since they are too long to be in memory.

    Raises
    ------
    NotDecodable
        A frame is missing, damaged, or cannot be had in *target*; the data set cannot be rewritten.
    """
    if target not in syntaxes.ENCODABLE:
        raise NotDecodable(f"transfer syntax {target}: not written here")
    meta, elements = read_elements(header)
    if image is None:
        yield _file_meta(meta, elements, syntaxes.EXPLICIT)
        yield from _with_long(elements, long_values, source)
        return
    if source not in syntaxes.DECODABLE:
        raise NotDecodable(f"transfer syntax {source}: no codec")
    first, pieces = _first_of(_pixel_data(frames, image, source, target))
    elements = {tag: one for tag, one in elements.items() if not tag.startswith(_PIXEL_GROUP)}
    if _ENCAPSULATED in elements.get(_ICON, b""):
        del elements[_ICON]  # in the source's transfer syntax; a small picture of the same pixels (PS3.3 §F.7)
    rest = read_tail(tail, is_implicit=source == syntaxes.IMPLICIT, order=_order(source))
    yield _file_meta(meta, elements, target)
    yield from _with_long(_described(elements, image, source, target), long_values, source)
    yield first
    yield from pieces
    yield b"".join(one for tag, one in rest.items() if tag != _TRAILING_PADDING and tag > image.numbers.value)


def header_bytes(pixel_data: BulkValue, transfer_syntax: str) -> int:
    """Return how long a file is up to the tag of its pixel data (PS3.5 §7.1.2, §7.1.3)."""
    return pixel_data.offset - (_IMPLICIT_HEAD if transfer_syntax == syntaxes.IMPLICIT else _EXPLICIT_HEAD)


def inflate(file: Buffer, *, max_bytes: int) -> bytes:
    """Return a file with a deflated data set as one in Explicit VR Little Endian (PS3.5 §A.5).

    Raises
    ------
    NotDecodable
        It is damaged, or longer than *max_bytes* inflated.
    """
    view = memoryview(file)
    try:
        (length,) = unpack_from("<L", view, _META_LENGTH_AT + 8)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflated = inflater.decompress(view[_META_AT + length :], max_bytes)
    except Exception as error:
        raise NotDecodable("the deflated data set is damaged") from error
    if not inflater.eof:
        raise NotDecodable(f"a deflated data set that is cut short, or longer than {max_bytes} bytes")
    meta, _ = read_elements(view[: _META_AT + length])
    return _file_meta(meta, {}, syntaxes.EXPLICIT) + inflated


def _order(syntax: str) -> str:
    return ">" if syntax == syntaxes.BIG_ENDIAN else "<"


def _with_long(elements: Elements, long_values: Mapping[str, LongValue], source: str) -> Iterator[Buffer]:
    """Yield the elements, and the long values where they belong."""
    short: list[bytes] = []
    for tag, one in elements.items():
        if tag not in long_values:
            short.append(one)
            continue
        value, vr = long_values[tag], vr_in(one)
        yield b"".join([*short, head(tag, vr if vr in LONG else "UN", value.length)])
        yield from value.read(bytes_in_number(vr) if source == syntaxes.BIG_ENDIAN else 1)
        short.clear()
    yield b"".join(short)


def _first_of(pieces: Iterator[Buffer]) -> tuple[Buffer, Iterator[Buffer]]:
    """Take the pieces up to the first frame, so that it fails before anything was sent."""
    start, frame = next(pieces), next(pieces, b"")
    return start, chain([frame], pieces)


def _file_meta(meta: Elements, elements: Elements, transfer_syntax: str) -> bytes:
    """Return preamble and file meta information (PS3.10 §7.1)."""
    sop_class = value_of(elements.get(_SOP_CLASS)) or value_of(meta.get(_META_SOP_CLASS))
    sop_instance = value_of(elements.get(_SOP_INSTANCE)) or value_of(meta.get(_META_SOP_INSTANCE))
    group = b"".join(
        [
            element("00020001", "OB", b"\0\1"),
            element(_META_SOP_CLASS, "UI", sop_class),
            element(_META_SOP_INSTANCE, "UI", sop_instance),
            _text("00020010", "UI", transfer_syntax),
            _text("00020012", "UI", IMPLEMENTATION_CLASS_UID),
            _text("00020013", "SH", IMPLEMENTATION_VERSION_NAME),
        ]
    )
    return _PREAMBLE + element("00020000", "UL", pack("<L", len(group))) + group


def _text(tag: str, vr: str, text: str) -> bytes:
    value = text.encode("ascii")
    return element(tag, vr, value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2))


def _number(tag: str, number: int) -> bytes:
    return element(tag, "US", pack("<H", number))


def _described(elements: Elements, image: Image, source: str, target: str) -> Elements:
    """Return the data set with what it says of its pixels made true for *target* (PS3.3 §C.7.6.3, §C.7.6.1.1.5)."""
    changed: Elements = {}
    if not _stays_native(source, target):
        photometric = photometric_after(source, image)
        if target in _WAVELETS and photometric == "RGB":
            photometric = "YBR_RCT"
        if photometric != image.photometric:
            changed[_PHOTOMETRIC] = _text(_PHOTOMETRIC, "CS", photometric)
        if image.samples > 1:
            changed[_PLANAR] = _number(_PLANAR, int(target == syntaxes.RLE))
        if image.high_bit >= image.bits_stored and not image.has_overlay_bits:
            changed[_HIGH_BIT] = _number(_HIGH_BIT, image.bits_stored - 1)
    if source in syntaxes.LOSSY_METHOD and not value_of(elements.get(_IS_LOSSY)).strip():
        changed[_IS_LOSSY] = _text(_IS_LOSSY, "CS", "01")
        changed[_LOSSY_METHOD] = _text(_LOSSY_METHOD, "CS", syntaxes.LOSSY_METHOD[source])
    return dict(sorted((elements | changed).items()))


def _stays_native(source: str, target: str) -> bool:
    return source in syntaxes.NATIVE and target == syntaxes.EXPLICIT


def _pixel_data(frames: Iterable[Buffer], image: Image, source: str, target: str) -> Iterator[Buffer]:
    """Yield the element that holds the pixels: first its head, then its frames."""
    if target == syntaxes.EXPLICIT:
        found = _bits(frames, image, source) if image.bits_allocated == 1 else _native(frames, image, source)
        yield from _padded(found, image)
    else:
        yield head(image.numbers.value, "OB", UNDEFINED) + ITEM + pack("<L", 0)
        for frame in _all(frames, image):
            encoded = recode_frame(frame, source, image, target)
            padding = b"\0" * (len(encoded) % 2)
            yield b"".join([ITEM, pack("<L", len(encoded) + len(padding)), encoded, padding])
        yield _SEQUENCE_END


def _all(frames: Iterable[Buffer], image: Image) -> Iterator[Buffer]:
    """Yield the frames, and see that none is missing or too much."""
    count = 0
    for frame in frames:
        count += 1
        if count > image.frames:
            break
        yield frame
    if count != image.frames:
        raise NotDecodable(f"{count} frames found, Number of Frames is {image.frames}")


def _native(frames: Iterable[Buffer], image: Image, source: str) -> Iterator[Buffer]:
    size = 0
    for frame in _all(frames, image):
        native = native_frame(frame, source, image)
        size = size or len(native)
        if len(native) != size:
            raise NotDecodable(f"a frame of {len(native)} bytes found, {size} expected")
        yield native


def _bits(frames: Iterable[Buffer], image: Image, source: str) -> Iterator[Buffer]:
    """Yield frames of one bit a pixel, which follow each other without padding (PS3.5 §8.1.1)."""
    left: Array = np.empty(0, np.uint8)
    is_native = source in syntaxes.NATIVE
    for number, frame in enumerate(_all(frames, image)):
        offset = number * image.cells % 8 if is_native else 0
        bits = np.concatenate([left, decode_frame(frame, source, image, bit_offset=offset).array.reshape(-1)])
        whole = len(bits) // 8 * 8
        left = bits[whole:]
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
    yield np.packbits(left, bitorder="little").tobytes()


_FLOAT_VRS = {Numbers.FLOAT: "OF", Numbers.DOUBLE: "OD"}
_BITS_OF_A_BYTE = 8


def _padded(pieces: Iterator[Buffer], image: Image) -> Iterator[Buffer]:
    """Yield the head of a native value, whose length the first frame tells, then its frames, padded to be even."""
    first = next(pieces, b"")
    length = -(-image.cells * image.frames // 8) if image.bits_allocated == 1 else len(first) * image.frames
    if length > _LONGEST_VALUE:
        raise NotDecodable(f"native pixel data of {length} bytes; at most {_LONGEST_VALUE} can be written")
    vr = _FLOAT_VRS.get(image.numbers, "OW" if image.bits_allocated > _BITS_OF_A_BYTE else "OB")
    yield head(image.numbers.value, vr, length + length % 2)
    yield first
    yield from pieces
    yield b"\0" * (length % 2)
