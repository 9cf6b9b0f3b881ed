"""The codecs of compressed frames by transfer syntax: the one place that knows `imagecodecs` (PS3.5 §A.4, §G, §H).

A codec sees a frame only after its header has been compared with the image that the data set describes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import pack, unpack_from
from typing import Any, TypeAlias

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from shared.dicom import syntaxes
from shared.dicom.codestreams import Codestream
from shared.dicom.image import Image, Numbers
from shared.dicom.jpeg_2000 import jpeg_2000_codestream, read_jpeg_2000
from shared.dicom.jpeg_headers import JPEG_LS_FRAME, read_jpeg
from shared.dicom.jpeg_xl import read_jpeg_xl
from shared.errors import NotDecodable
from shared.model import Buffer

Array: TypeAlias = NDArray[Any]
"""(rows, columns), or (rows, columns, 3)."""


@dataclass(frozen=True, slots=True)
class Decompressed:
    """What came out of a codestream.

    Parameters
    ----------
    array
        Unsigned or signed as the codestream is.
    precision
        Bits of a sample that the codestream says it has.
    """

    array: Array
    precision: int


@dataclass(frozen=True, slots=True)
class Codec:
    """How frames of one transfer syntax are decoded and, where we write it, encoded."""

    decode: Callable[[bytes, Image], Decompressed]
    encode: Callable[[Array, int, bool], bytes] | None = None
    """Of an array whose samples have so many bits, and whether its colours are RGB."""


def decompress(frame: Buffer, transfer_syntax: str, image: Image) -> Decompressed:
    """Return the pixels of one compressed frame, its fragments joined.

    Raises
    ------
    NotDecodable
        The frame is damaged, is not the image that the data set describes, or no codec takes it.
    """
    codec = CODECS.get(transfer_syntax)
    if codec is None:
        raise NotDecodable(f"transfer syntax {transfer_syntax}: no codec")
    if image.numbers is not Numbers.INTEGER:
        raise NotDecodable("float pixel data cannot be compressed")
    try:
        return codec.decode(bytes(frame), image)
    except NotDecodable:
        raise
    except _CODEC_ERRORS as error:  # its text may quote values
        raise NotDecodable(f"transfer syntax {transfer_syntax}: a frame is damaged") from error


def compress(array: Array, transfer_syntax: str, bits: int, *, is_rgb: bool) -> bytes:
    """Return the frame of an *array* whose samples have so many *bits*, without loss.

    Parameters
    ----------
    is_rgb
        Whether what the codec has for RGB may be used; it makes YBR_RCT of it (PS3.3 §C.7.6.3.1.2).

    Raises
    ------
    NotDecodable
        The transfer syntax cannot hold it, or is none that we write.
    """
    codec = CODECS.get(transfer_syntax)
    if codec is None or codec.encode is None:
        raise NotDecodable(f"transfer syntax {transfer_syntax}: not written here")
    try:
        return codec.encode(array, bits, is_rgb)
    except _CODEC_ERRORS as error:
        raise NotDecodable(f"transfer syntax {transfer_syntax}: an image of {bits} bits cannot be written") from error


_CODEC_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, OverflowError, MemoryError)
"""All that the codecs raise: theirs are a `RuntimeError` each."""

_LOSSY_PROCESSES, _LOSSLESS_PROCESSES, _JPEG_LS_PROCESSES = (0xC0, 0xC1, 0xC2), (0xC3,), (JPEG_LS_FRAME,)
_SMALLEST_PRECISION = {0xC3: 2, JPEG_LS_FRAME: 2}


def _check(found: Codestream, image: Image, *, may_be_smaller: bool = False) -> None:
    """Raise `NotDecodable` unless a codestream holds the *image* that the data set describes."""
    shapes = (found.rows, found.columns, found.samples), (image.rows, image.columns, image.samples)
    fits = may_be_smaller and 0 < found.rows <= image.rows and 0 < found.columns <= image.columns
    if shapes[0] != shapes[1] and not (fits and found.samples == image.samples):
        one, other = (" x ".join(map(str, shape)) for shape in shapes)
        raise NotDecodable(f"the frame holds rows x columns x samples of {one}, the data set says {other}")
    if not 1 <= found.precision <= image.bits_allocated:
        raise NotDecodable(f"the frame holds {found.precision} bits, Bits Allocated is {image.bits_allocated}")


def _check_process(found: Codestream, processes: tuple[int, ...]) -> None:
    if found.process not in processes:
        raise NotDecodable(f"JPEG process {found.process:02X} found, {processes[0]:02X} expected")
    if found.precision < _SMALLEST_PRECISION.get(found.process, 8) or found.precision > _MOST_BITS:
        raise NotDecodable(f"JPEG of {found.precision} bits")


_MOST_BITS = 16
"""Of a sample in what JPEG and JPEG 2000 codecs are given, though 15444-1 allows more."""


def _jpeg(frame: bytes, image: Image) -> Decompressed:
    """Decode a lossy JPEG; colours come out as RGB, whatever they were stored as (PS3.5 §8.2.1).

    Departs from the standard where the codestream says what its colours are: that counts, not the data set. And
    where a tile at the edge of a slide is smaller than Rows and Columns: what is missing is filled with zeros.
    """
    found = read_jpeg(frame)
    _check(found, image, may_be_smaller=image.frames > 1)
    _check_process(found, _LOSSY_PROCESSES)
    if image.samples == 1:
        array = imagecodecs.jpeg8_decode(frame)
    else:
        is_ycbcr = (found.colours or ("YCbCr" if image.photometric.startswith("YBR") else "RGB")) == "YCbCr"
        array = imagecodecs.jpeg8_decode(frame, colorspace="YCBCR" if is_ycbcr else "RGB", outcolorspace="RGB")
    missing = (image.rows - found.rows, image.columns - found.columns)
    if any(missing):
        array = np.pad(array, [(0, missing[0]), (0, missing[1]), (0, 0)][: array.ndim])
    return Decompressed(array, found.precision)


def _jpeg_lossless(frame: bytes, image: Image) -> Decompressed:
    found = read_jpeg(frame)
    _check(found, image)
    _check_process(found, _LOSSLESS_PROCESSES)
    if found.is_subsampled:
        raise NotDecodable("lossless JPEG with subsampled colours")
    if image.samples == 1:
        return Decompressed(imagecodecs.jpeg8_decode(frame), found.precision)
    # Without a conversion, which a lossless process does not have.
    return Decompressed(imagecodecs.jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB"), found.precision)


def _jpeg_ls(frame: bytes, image: Image) -> Decompressed:
    found = read_jpeg(frame)
    _check(found, image)
    _check_process(found, _JPEG_LS_PROCESSES)
    if found.is_subsampled:
        raise NotDecodable("JPEG-LS with subsampled colours")
    return Decompressed(imagecodecs.jpegls_decode(frame), found.precision)


def _jpeg_2000(frame: bytes, image: Image) -> Decompressed:
    codestream = jpeg_2000_codestream(frame)
    found = read_jpeg_2000(codestream)
    _check(found, image)
    if found.precision > _MOST_BITS:
        raise NotDecodable(f"JPEG 2000 of {found.precision} bits; at most {_MOST_BITS} are decoded")
    return Decompressed(imagecodecs.jpeg2k_decode(codestream, numthreads=1), found.precision)


def _jpeg_xl(frame: bytes, image: Image) -> Decompressed:
    found = read_jpeg_xl(frame)
    _check(found, image)
    array = imagecodecs.jpegxl_decode(frame, numthreads=1, keeporientation=True)
    return Decompressed(array, found.precision)


_RLE_HEADER = 64


def _rle(frame: bytes, image: Image) -> Decompressed:
    """Put the bytes of samples together from their segments, the highest first (PS3.5 §G)."""
    size = image.bits_allocated // 8
    count = size * image.samples
    if len(frame) < _RLE_HEADER or not size:
        raise NotDecodable("RLE: no header, or samples of less than 8 bits")
    segments, *offsets = unpack_from("<16L", frame)
    if segments != count:
        raise NotDecodable(f"RLE: {segments} segments found, {count} expected")
    ends = [*offsets[1:count], len(frame)]
    if any(not _RLE_HEADER <= start <= end for start, end in zip(offsets, ends, strict=False)):
        raise NotDecodable("RLE: segments do not follow each other within the frame")
    plane = image.rows * image.columns
    cells = np.empty((plane, image.samples, size), np.uint8)
    for number, (start, end) in enumerate(zip(offsets, ends, strict=False)):
        sample, byte = divmod(number, size)
        # Some encoders write a little more than the plane.
        found = imagecodecs.packbits_decode(frame[start:end], out=2 * plane + _RLE_HEADER)
        if len(found) < plane:
            raise NotDecodable(f"RLE: a segment of {len(found)} bytes found, {plane} expected")
        cells[:, sample, size - 1 - byte] = np.frombuffer(found, np.uint8, plane)
    shape = (image.rows, image.columns) if image.samples == 1 else (image.rows, image.columns, image.samples)
    return Decompressed(cells.reshape(-1).view(f"<u{size}").reshape(shape), image.bits_allocated)


def _encode_rle(array: Array, _bits: int, _is_rgb: bool) -> bytes:
    """Encode each row by itself, as it should be (PS3.5 §G.3.1)."""
    size = array.dtype.itemsize
    cells = array.view(f"u{size}").astype(f">u{size}").view(np.uint8).reshape(*array.shape[:2], -1)
    segments = []
    for number in range(cells.shape[2]):
        segment = imagecodecs.packbits_encode(cells[:, :, number].copy(), axis=-1)
        segments.append(segment + b"\0" * (len(segment) % 2))
    offsets = [_RLE_HEADER]
    for segment in segments[:-1]:
        offsets.append(offsets[-1] + len(segment))
    header = pack("<16L", len(segments), *offsets, *[0] * (15 - len(offsets)))
    return b"".join([header, *segments])


def _encode_jpeg_2000(array: Array, bits: int, is_rgb: bool) -> bytes:
    if bits > _MOST_BITS:
        raise NotDecodable(f"JPEG 2000 of {bits} bits; at most {_MOST_BITS} are written")
    return bytes(
        imagecodecs.jpeg2k_encode(
            _narrow(array, bits),
            level=0,
            codecformat="j2k",
            reversible=True,
            bitspersample=bits,
            mct=is_rgb,
            numthreads=1,
        )
    )


def _encode_htj2k(array: Array, bits: int, is_rgb: bool) -> bytes:
    if bits > _MOST_BITS:
        raise NotDecodable(f"HTJ2K of {bits} bits; at most {_MOST_BITS} are written")
    return bytes(imagecodecs.htj2k_encode(_narrow(array, bits), reversible=True, rgb=is_rgb))


def _encode_jpeg_ls(array: Array, bits: int, _is_rgb: bool) -> bytes:
    """Encode signed samples as their bits: JPEG-LS knows none (PS3.5 §8.2.3)."""
    if bits > _MOST_BITS:
        raise NotDecodable(f"JPEG-LS of {bits} bits; at most {_MOST_BITS} are written")
    narrow = _narrow(array, bits)
    frame = bytes(imagecodecs.jpegls_encode(narrow.view(f"u{narrow.dtype.itemsize}")))
    # Without the SPIFF header that the codec writes: an end of its directory looks like another image to some.
    return frame[:2] + frame[frame.index(b"\xff\xf7") :]


def _narrow(array: Array, bits: int) -> Array:
    """Return an array of at most 16 bits as the smallest samples that hold so many *bits*."""
    kind = f"{array.dtype.kind}{1 if bits <= 8 else 2}"  # noqa: PLR2004 - bits of a byte
    return np.ascontiguousarray(array.astype(kind, copy=False))


_JPEG, _LOSSLESS, _NEAR = Codec(_jpeg), Codec(_jpeg_lossless), Codec(_jpeg_ls)
_WAVELETS, _XL = Codec(_jpeg_2000), Codec(_jpeg_xl)

CODECS: Mapping[str, Codec] = {
    syntaxes.JPEG_BASELINE: _JPEG,
    syntaxes.JPEG_EXTENDED: _JPEG,
    syntaxes.JPEG_SPECTRAL: _JPEG,
    syntaxes.JPEG_PROGRESSIVE: _JPEG,
    syntaxes.JPEG_LOSSLESS: _LOSSLESS,
    syntaxes.JPEG_LOSSLESS_FIRST_ORDER: _LOSSLESS,
    syntaxes.JPEG_LS: Codec(_jpeg_ls, _encode_jpeg_ls),
    syntaxes.JPEG_LS_NEAR: _NEAR,
    syntaxes.JPEG_2000_LOSSLESS: Codec(_jpeg_2000, _encode_jpeg_2000),
    syntaxes.JPEG_2000: _WAVELETS,
    syntaxes.JPEG_2000_PART_2_LOSSLESS: _WAVELETS,
    syntaxes.JPEG_2000_PART_2: _WAVELETS,
    # OpenJPEG decodes HTJ2K too, and limits the values of what was lossy, which OpenJPH does not.
    syntaxes.HTJ2K_LOSSLESS: Codec(_jpeg_2000, _encode_htj2k),
    syntaxes.HTJ2K_LOSSLESS_RPCL: _WAVELETS,
    syntaxes.HTJ2K: _WAVELETS,
    syntaxes.JPEG_XL_LOSSLESS: _XL,
    syntaxes.JPEG_XL_RECOMPRESSION: _XL,
    syntaxes.JPEG_XL: _XL,
    syntaxes.RLE: Codec(_rle, _encode_rle),
}
