"""Frames as pixels, and pixels as frames (PS3.5 §8; PS3.3 §C.7.6.3)."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shared.dicom import syntaxes
from shared.dicom.codecs import Array, compress, decompress
from shared.dicom.frames import SUBSAMPLED
from shared.dicom.image import Image, Numbers
from shared.errors import NotDecodable
from shared.model import Buffer


@dataclass(frozen=True, slots=True)
class Decoded:
    """The pixels of one frame.

    Parameters
    ----------
    array
        (rows, columns) or (rows, columns, 3), as stored before any LUT: u1, i1, u2, i2, u4, i4, f4 or f8; bits are u1.
    photometric
        What it is in now, which the data set need not say (PS3.3 §C.7.6.3.1.2): RGB after a lossy JPEG was decoded.
    """

    array: Array
    photometric: str


_FLOATS: Mapping[Numbers, str] = {Numbers.FLOAT: "f4", Numbers.DOUBLE: "f8"}
_AS_RGB = frozenset({"YBR_ICT", "YBR_RCT", "XYB"})
"""What codecs turn into RGB (PS3.3 §C.7.6.3.1.2)."""
_PAIR = 4
"""Samples of two pixels that share their colour: Y, Y, CB, CR."""
_ENCAPSULATED = frozenset({syntaxes.ENCAPSULATED_UNCOMPRESSED, syntaxes.DEFLATED_FRAMES})


def decode_frame(frame: Buffer, transfer_syntax: str, image: Image, *, bit_offset: int = 0) -> Decoded:
    """Return the pixels of one stored frame, its fragments joined.

    Native colours stay what they are, but for subsampled ones, which become YBR_FULL.

    Parameters
    ----------
    bit_offset
        Where a native frame of one bit a pixel begins within the bytes of *frame*.

    Raises
    ------
    NotDecodable
        The frame is cut short, is damaged, is not what *image* says, or no codec takes it.
    """
    decoded = _cells(frame, transfer_syntax, image, bit_offset)
    return Decoded(_stored_values(decoded.array, image), decoded.photometric)


def native_frame(frame: Buffer, transfer_syntax: str, image: Image, *, bit_offset: int = 0) -> Buffer:
    """Return one stored frame as Explicit VR Little Endian has it (PS3.5 §8.1, §A.2); its last byte may not be full.

    A native frame stays as it is, but for the order of its bytes; a compressed one becomes colour by pixel.

    Raises
    ------
    NotDecodable
        As `decode_frame`; of a native frame only when it is cut short.
    """
    plain, syntax = _plain(frame, transfer_syntax, image)
    if syntax not in syntaxes.NATIVE:
        return native_bytes(_kept(_cells(plain, syntax, image, 0), image), image)
    if image.bits_allocated == 1:
        return np.packbits(_bits(plain, image, bit_offset), bitorder="little").tobytes()
    if len(plain) < _shortest(image):
        raise NotDecodable(f"a frame of {len(plain)} bytes found, {_shortest(image)} expected")
    return plain if syntax != syntaxes.BIG_ENDIAN else _turned(plain, image)


def native_bytes(decoded: Decoded, image: Image) -> bytes:
    """Return pixels as a native frame in little endian, colour by pixel."""
    if image.bits_allocated == 1:
        return np.packbits(decoded.array, axis=None, bitorder="little").tobytes()
    array = decoded.array
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def encode_frame(decoded: Decoded, image: Image, transfer_syntax: str) -> bytes:
    """Return pixels as one frame of *transfer_syntax*, without loss and without padding to an even length.

    Raises
    ------
    NotDecodable
        The transfer syntax cannot hold them: one bit, more than 16 bits (but for RLE), or floats.
    """
    if transfer_syntax == syntaxes.EXPLICIT:
        return native_bytes(decoded, image)
    if image.numbers is not Numbers.INTEGER or image.bits_allocated == 1:
        what = "one bit a pixel" if image.numbers is Numbers.INTEGER else "float pixel data"
        raise NotDecodable(f"{what} cannot be compressed")
    bits = image.bits_allocated if image.has_overlay_bits else image.bits_stored
    return compress(decoded.array, transfer_syntax, bits, is_rgb=decoded.photometric == "RGB")


def recode_frame(frame: Buffer, source: str, image: Image, target: str) -> bytes:
    """Return a stored frame in another, compressed transfer syntax; overlays in its unused bits stay there.

    Raises
    ------
    NotDecodable
        As `decode_frame` and `encode_frame`.
    """
    return encode_frame(_kept(_cells(frame, source, image, 0), image), image, target)


def photometric_after(transfer_syntax: str, image: Image) -> str:
    """Return what the pixels of a frame will be in once it is decoded."""
    if image.samples == 1 or (transfer_syntax in syntaxes.NATIVE and image.photometric not in SUBSAMPLED):
        return image.photometric
    is_turned = transfer_syntax in _COLOURS_TURNED or image.photometric in _AS_RGB
    if is_turned:
        return "RGB"
    return "YBR_FULL" if image.photometric in SUBSAMPLED else image.photometric


_COLOURS_TURNED = frozenset(
    {
        syntaxes.JPEG_BASELINE,
        syntaxes.JPEG_EXTENDED,
        syntaxes.JPEG_SPECTRAL,
        syntaxes.JPEG_PROGRESSIVE,
        syntaxes.JPEG_XL_LOSSLESS,
        syntaxes.JPEG_XL_RECOMPRESSION,
        syntaxes.JPEG_XL,
    }
)
"""Whose codestreams say themselves what their colours are, and come out as RGB."""


def _cells(frame: Buffer, transfer_syntax: str, image: Image, bit_offset: int) -> Decoded:
    """Return a frame's samples with all bits that are allocated to them."""
    plain, syntax = _plain(frame, transfer_syntax, image)
    photometric = photometric_after(syntax, image)
    if syntax in syntaxes.NATIVE:
        return Decoded(_native_cells(plain, syntax, image, bit_offset), photometric)
    found = decompress(plain, syntax, image)
    shape = (image.rows, image.columns) if image.samples == 1 else (image.rows, image.columns, image.samples)
    array = found.array
    if array.shape != shape or array.dtype.kind not in "ui" or array.dtype.itemsize * 8 < found.precision:
        raise NotDecodable(f"transfer syntax {transfer_syntax}: the frame is not the image that its header says")
    array = _with_sign(array, found.precision, image)
    if transfer_syntax in syntaxes.LOSSY_METHOD and image.bits_stored < found.precision:
        # Of what was lossy, values may lie beyond what could be stored.
        least = -(1 << (image.bits_stored - 1)) if image.is_signed else 0
        array = np.clip(array, least, least + (1 << image.bits_stored) - 1)
    return Decoded(array, photometric)


def _plain(frame: Buffer, transfer_syntax: str, image: Image) -> tuple[Buffer, str]:
    """Return a frame without what is around native ones in fragments (PS3.5 §A.4.11, §A.4.12), and its syntax."""
    if transfer_syntax not in _ENCAPSULATED:
        return frame, transfer_syntax
    if transfer_syntax == syntaxes.ENCAPSULATED_UNCOMPRESSED:
        return memoryview(frame)[: image.frame_bytes], syntaxes.EXPLICIT
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return inflater.decompress(frame, image.frame_bytes), syntaxes.EXPLICIT
    except zlib.error as error:
        raise NotDecodable("a deflated frame is damaged") from error


def _native_cells(frame: Buffer, syntax: str, image: Image, bit_offset: int) -> Array:
    if image.bits_allocated == 1:
        return _bits(frame, image, bit_offset).reshape(image.rows, image.columns)
    size = image.bits_allocated // 8
    if syntax == syntaxes.BIG_ENDIAN and image.is_word and size == 1:
        frame = _turned(frame, image)
    order = ">" if syntax == syntaxes.BIG_ENDIAN else "<"
    code = _FLOATS.get(image.numbers, f"{'i' if image.is_signed else 'u'}{size}")
    if len(frame) < _shortest(image):
        raise NotDecodable(f"a frame of {len(frame)} bytes found, {_shortest(image)} expected")
    array = np.frombuffer(frame, f"{order}{code}", min(len(frame) // size, image.cells))
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.size < image.cells:
        return _upsampled(array, image)
    if image.samples == 1:
        return array.reshape(image.rows, image.columns)
    if image.is_planar:
        return np.ascontiguousarray(array.reshape(image.samples, image.rows, image.columns).transpose(1, 2, 0))
    return array.reshape(image.rows, image.columns, image.samples)


def _shortest(image: Image) -> int:
    """Return how long a native frame is at least; some write subsampled colours with all of their samples."""
    stored, of = SUBSAMPLED.get(image.photometric, (1, 1)) if image.samples > 1 else (1, 1)
    return image.frame_bytes * stored // of


def _bits(frame: Buffer, image: Image, bit_offset: int) -> Array:
    if len(frame) * 8 < bit_offset + image.cells:
        raise NotDecodable(f"a frame of {len(frame)} bytes found, {image.cells} bits expected from bit {bit_offset} on")
    bits = np.unpackbits(np.frombuffer(frame, np.uint8), count=bit_offset + image.cells, bitorder="little")
    return bits[bit_offset:]


def _upsampled(array: Array, image: Image) -> Array:
    """Return pixels of which two share their colour with one each (PS3.3 §C.7.6.3.1.2)."""
    if not image.photometric.endswith("422") or image.columns % 2:
        raise NotDecodable(f"native {image.photometric} of {image.columns} columns")
    pairs = array[: image.rows * image.columns * 2].reshape(-1, _PAIR)
    return pairs[:, [0, 2, 3, 1, 2, 3]].reshape(image.rows, image.columns, image.samples)


def _turned(frame: Buffer, image: Image) -> bytes:
    """Return big endian bytes as little endian ones; 8-bit samples in words are turned in pairs (PS3.5 §8.1.1)."""
    size = image.bits_allocated // 8
    if size == 1 and not image.is_word:
        return bytes(frame)
    size = max(size, 2)
    if len(frame) % size:
        raise NotDecodable("a frame in big endian that ends within a word")
    return np.frombuffer(frame, f">u{size}").astype(f"<u{size}").tobytes()


def _with_sign(array: Array, precision: int, image: Image) -> Array:
    """Return samples in the type that the data set says, whatever the codestream says of their sign (PS3.5 §8.2.4)."""
    size = max(image.bits_allocated // 8, 1)
    is_signed = array.dtype.kind == "i"
    if is_signed == image.is_signed:
        return array.astype(f"{array.dtype.kind}{size}", copy=False)
    kind = "i" if image.is_signed else "u"
    same = array.view(f"{kind}{array.dtype.itemsize}")
    return _low_bits(same, precision).astype(f"{kind}{size}", copy=False)


def _low_bits(array: Array, bits: int) -> Array:
    """Return numbers of the lowest *bits* of each sample, with the sign that the array's type has."""
    shift = array.dtype.itemsize * 8 - bits
    if not shift:
        return array
    # Shifted back, a signed number takes its highest bit along.
    low: Array = (array << shift) >> shift
    return low


def _stored_values(array: Array, image: Image) -> Array:
    """Return what the stored bits say, without what may lie beside them (PS3.5 §8.1.1)."""
    if image.numbers is not Numbers.INTEGER or image.bits_allocated in {1, image.bits_stored}:
        return array
    unused = image.high_bit + 1 - image.bits_stored
    return _low_bits(array >> unused if unused else array, image.bits_stored)


def _kept(decoded: Decoded, image: Image) -> Decoded:
    """Return the stored values, or all bits where others of them hold overlays."""
    if image.has_overlay_bits:
        return decoded
    return Decoded(_stored_values(decoded.array, image), decoded.photometric)
