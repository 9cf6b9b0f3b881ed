"""The header of a JPEG or JPEG-LS codestream (ISO/IEC 10918-1 §B.2, 14495-1 §C.2)."""

from collections.abc import Iterator
from struct import error as StructError  # noqa: N812 - as walk.py names it
from struct import unpack_from

from shared.dicom.codestreams import MAX_SEGMENTS, Codestream
from shared.errors import NotDecodable

MAX_SCANS = 256
"""Of a JPEG: each one goes over the whole image, however short it is. Ten are usual in a progressive one."""

JPEG_LS_FRAME = 0xF7
"""The marker that starts the frame of JPEG-LS."""

_MARK, _START, _END, _SCAN = 0xFF, 0xD8, 0xD9, 0xDA
_ALONE = frozenset({0x01, *range(0xD0, 0xD8), _START})
"""Markers without a length."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {JPEG_LS_FRAME}
"""Markers that start a frame, one for each process."""
_COMPONENT_BYTES = 3
_APP0, _APP14 = 0xE0, 0xEE
_JFIF, _ADOBE, _ADOBE_TRANSFORM_AT = b"JFIF\0", b"Adobe", 11


def read_jpeg(content: bytes) -> Codestream:
    """Read the header of a JPEG or JPEG-LS codestream, and see that its end is there.

    Raises
    ------
    NotDecodable
        It is none, is cut short or would take unreasonable time.
    """
    found: Codestream | None = None
    colours = ""
    try:
        for marker, start, stop in _segments(content):
            segment = content[start:stop]
            if marker == _APP0 and segment.startswith(_JFIF):
                colours = colours or "YCbCr"
            elif marker == _APP14 and segment.startswith(_ADOBE):
                colours = "YCbCr" if segment[_ADOBE_TRANSFORM_AT] else "RGB"
            elif marker in _FRAMES:
                if found:
                    raise NotDecodable("JPEG: a second frame header")
                found = _jpeg_frame(marker, segment)
            elif marker == _SCAN:
                _check_scans(content, stop)
                break
    except (StructError, IndexError) as error:
        raise NotDecodable("JPEG: cut short within its header") from error
    if found is None:
        raise NotDecodable("JPEG: no frame header")
    return Codestream(
        found.rows,
        found.columns,
        found.samples,
        found.precision,
        None,
        found.process,
        found.is_subsampled,
        colours or found.colours,
    )


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of each segment of a JPEG up to its first scan header."""
    if content[:2] != bytes([_MARK, _START]):
        raise NotDecodable("JPEG: no start of image")
    position = 2
    for _ in range(MAX_SEGMENTS):
        mark, marker = content[position : position + 2]
        if mark != _MARK:
            raise NotDecodable(f"JPEG: no marker at byte {position}")
        if marker == _MARK:  # fill byte
            position += 1
            continue
        if marker in _ALONE:
            position += 2
            continue
        (length,) = unpack_from(">H", content, position + 2)
        yield marker, position + 4, position + 2 + length
        position += 2 + max(length, 2)
    raise NotDecodable(f"JPEG: more than {MAX_SEGMENTS} segments")


def _jpeg_frame(marker: int, segment: bytes) -> Codestream:
    precision, rows, columns, samples = unpack_from(">BHHB", segment)
    components = [segment[6 + _COMPONENT_BYTES * at :][:_COMPONENT_BYTES] for at in range(samples)]
    if any(len(one) < _COMPONENT_BYTES for one in components):
        raise NotDecodable("JPEG: cut short within its frame header")
    identifiers = bytes(one[0] for one in components)
    is_subsampled = len({one[1] for one in components}) > 1
    colours = "RGB" if identifiers == b"RGB" else "YCbCr" if is_subsampled else ""
    return Codestream(rows, columns, samples, precision, None, marker, is_subsampled, colours)


def _check_scans(content: bytes, position: int) -> None:
    if content.rfind(bytes([_MARK, _END]), position) < 0:
        raise NotDecodable("JPEG: cut short, its end is missing")
    if content.count(bytes([_MARK, _SCAN])) > MAX_SCANS:
        raise NotDecodable(f"JPEG: more than {MAX_SCANS} scans")
