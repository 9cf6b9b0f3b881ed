"""What pixel data of each transfer syntax is called on the web, and what it can be given in (PS3.18 §8.7.3)."""

from collections.abc import Mapping

from shared.dicom.syntaxes import DECODABLE, DEFLATED, ENCODABLE, EXPLICIT, IMPLICIT, RLE

INFLATABLE = frozenset({DEFLATED, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
"""Data sets that are deflated as a whole (PS3.5 §A.5, §A.7)."""

LITTLE_ENDIAN = frozenset({IMPLICIT, EXPLICIT, DEFLATED})
"""Native frames are the same bytes in all of them."""

TRANSFER_SYNTAXES: Mapping[str, tuple[str, ...]] = {
    "image/jpeg": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (70, 50, 51, 57)),
    **dict.fromkeys(("image/dicom-rle", "image/x-dicom-rle"), (RLE,)),
    **dict.fromkeys(("image/jls", "image/x-jls"), tuple(f"1.2.840.10008.1.2.4.{number}" for number in (80, 81))),
    "image/jp2": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91)),
    "image/jpx": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (92, 93)),
    "image/jphc": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203)),
    "image/jxl": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112)),
    **dict.fromkeys(
        ("video/mpeg", "video/mpeg2"), tuple(f"1.2.840.10008.1.2.4.{number}" for number in (100, 101, "100.1", "101.1"))
    ),
    "video/mp4": tuple(
        f"1.2.840.10008.1.2.4.{number}{part}" for part in ("", ".1") for number in (102, 103, 104, 105, 106)
    ),
    "video/h265": tuple(f"1.2.840.10008.1.2.4.{number}" for number in (107, 108)),
}
"""What pixel data of a media type may be in, the default first (PS3.18 §8.7.3.3)."""

MEDIA_TYPE_OF: Mapping[str, str] = {
    syntax: media_type for media_type, syntaxes in reversed(list(TRANSFER_SYNTAXES.items())) for syntax in syntaxes
}
"""The media type of a codestream, by its transfer syntax."""


def is_convertible(stored: str, wanted: str) -> bool:
    """Return whether pixel data stored in one transfer syntax can be had in another one."""
    return stored in DECODABLE and wanted in ENCODABLE
