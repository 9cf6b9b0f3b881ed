"""Which process a JPEG was written with (`shared/dicom/jpeg.py`)."""

from struct import pack

import pytest

from shared.dicom.jpeg import jpeg_transfer_syntax


def segment(marker: int, content: bytes = b"") -> bytes:
    return bytes([0xFF, marker]) + pack(">H", len(content) + 2) + content


def jpeg(frame: int, predictor: int = 1, *, before: bytes = b"") -> bytes:
    """Return the headers of a JPEG of one component."""
    scan = bytes([1, 1, 0, predictor, 0, 0])
    return b"\xff\xd8" + before + segment(frame, bytes(9)) + segment(0xDA, scan) + b"data"


@pytest.mark.parametrize(
    ("codestream", "number"),
    [
        (jpeg(0xC0), 50),
        (jpeg(0xC1), 51),
        (jpeg(0xC3, 1), 70),
        (jpeg(0xC3, 7), 57),
        (jpeg(0xC0, before=segment(0xE0, b"JFIF\0") + segment(0xFE, b"\xff\xc3") + segment(0xDB, bytes(65))), 50),
        (jpeg(0xC3, before=b"\xff\xff\xff" + segment(0xC4, bytes(20))), 70),
    ],
)
def test_process(codestream: bytes, number: int) -> None:
    """The marker of the frame tells the process, and in lossless JPEG the predictor of the scan."""
    assert jpeg_transfer_syntax(codestream) == f"1.2.840.10008.1.2.4.{number}"


@pytest.mark.parametrize(
    "codestream", [b"", b"\xff\xd8", b"\xff\x4f\xff\x51", jpeg(0xC2), jpeg(0xC7), b"\xff\xd8" + bytes(100)], ids=repr
)
def test_unknown(codestream: bytes) -> None:
    """What is no JPEG, or of a process that DICOM has no current syntax for, stays unknown."""
    assert jpeg_transfer_syntax(codestream) is None


def test_cut() -> None:
    """A codestream that ends within its headers stays unknown and raises nothing."""
    whole = jpeg(0xC3, before=segment(0xC4, bytes(20)))

    assert {jpeg_transfer_syntax(whole[:end]) for end in range(len(whole) - 8)} == {None}
