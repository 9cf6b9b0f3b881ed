"""What a JPEG codestream says about its own process (ISO/IEC 10918-1 §B.2; PS3.5 §A.4.1)."""

from collections.abc import Mapping
from struct import unpack_from

from shared.model import Buffer

_BASELINE, _EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
_LOSSLESS, _LOSSLESS_FIRST_ORDER = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"

_START, _SCAN, _FRAME_LOSSLESS = 0xD8, 0xDA, 0xC3
_BY_FRAME: Mapping[int, str] = {0xC0: _BASELINE, 0xC1: _EXTENDED, _FRAME_LOSSLESS: _LOSSLESS}
"""By the marker that starts the frame."""
_MARKER = 0xFF
_MAX_SEGMENTS = 1000


def jpeg_transfer_syntax(codestream: Buffer) -> str | None:
    """Return the transfer syntax of a JPEG codestream; None for one of a process that DICOM has retired, or damage."""
    if bytes(codestream[:2]) != bytes([_MARKER, _START]):
        return None
    position, syntax = 2, None
    for _ in range(_MAX_SEGMENTS):
        if position + 5 > len(codestream) or codestream[position] != _MARKER:
            return None
        marker = codestream[position + 1]
        if marker == _MARKER:  # fill byte
            position += 1
            continue
        (length,) = unpack_from(">H", codestream, position + 2)
        syntax = _BY_FRAME.get(marker, syntax)
        if marker == _SCAN:
            return _of_scan(codestream, position, syntax)
        if syntax is not None and syntax != _LOSSLESS:
            return syntax
        position += 2 + length
    return None


def _of_scan(codestream: Buffer, position: int, syntax: str | None) -> str | None:
    """Tell the lossless syntaxes apart by the predictor, behind the scan's components."""
    predictor_at = position + 5 + 2 * codestream[position + 4]
    if syntax != _LOSSLESS or predictor_at >= len(codestream):
        return None
    return _LOSSLESS_FIRST_ORDER if codestream[predictor_at] == 1 else _LOSSLESS
