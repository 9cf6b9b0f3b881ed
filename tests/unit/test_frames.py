"""Where frames lie, against pydicom on real files and by the cases of PS3.5 §A.4 (`shared/dicom/frames.py`)."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from struct import pack
from typing import Any

import pydicom
import pytest
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from shared.dicom.fragments import MAX_FRAGMENTS
from shared.dicom.frames import FRAMES_OF_A_PAGE, frame_pages, frame_ranges
from shared.dicom.header import HeaderReader, read_header
from shared.errors import UnreadableFile
from shared.model import FramePage
from tests.factories import dataset, file_of

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "corpus"

JPEG, RLE, MPEG4 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.102"
NATIVE, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
SOI = b"\xff\xd8"


def encapsulated(
    *fragments: bytes,
    frames: int,
    basic: bytes = b"",
    extended: bytes | None = None,
    syntax: str = JPEG,
    is_closed: bool = True,
) -> bytes:
    """Return a Part 10 file whose pixel data are just these items."""
    made = dataset(NumberOfFrames=str(frames), Rows=1, Columns=1, BitsAllocated=8, SamplesPerPixel=1)
    if extended is not None:
        made.ExtendedOffsetTable = extended
        made.ExtendedOffsetTableLengths = bytes(len(extended))
    items = b"".join(pack("<HHL", 0xFFFE, 0xE000, len(one)) + one for one in (basic, *fragments))
    end = pack("<HHL", 0xFFFE, 0xE0DD, 0) if is_closed else b""
    return file_of(made, syntax) + pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + items + end


def native(pixels: bytes, keyword: str = "PixelData", syntax: str = NATIVE, **attributes: Any) -> bytes:
    made = dataset(**{"Rows": 2, "Columns": 3, "SamplesPerPixel": 1, "BitsAllocated": 8} | attributes)
    made.add_new(keyword, {"FloatPixelData": "OF", "DoubleFloatPixelData": "OD"}.get(keyword, "OB"), pixels)
    return file_of(made, syntax)


def frames_of(file: bytes) -> list[bytes]:
    """Return the bytes of each frame that the pages of a file tell of."""
    pages = frame_pages(read_header(file), len(file))
    return [
        b"".join(file[one.offset : one.offset + one.length] for one in frame_ranges(page, frame))
        for page in pages
        for frame in range(page.first_frame, page.first_frame + page.frame_count)
    ]


def offsets(*values: int, size: int = 4) -> bytes:
    return b"".join(value.to_bytes(size, "little") for value in values)


A, B, C = SOI + b"aa", SOI + b"bbbb", b"cc"

ENCAPSULATED: Mapping[str, tuple[bytes, list[bytes]]] = {
    "one frame": (encapsulated(A, frames=1), [A]),
    "one frame in three fragments": (encapsulated(A, C, C, frames=1), [A + C + C]),
    "a fragment each, no table": (encapsulated(A, B, frames=2), [A, B]),
    "basic offset table": (encapsulated(A, C, B, frames=2, basic=offsets(0, 22)), [A + C, B]),
    "extended offset table": (encapsulated(A, B, frames=2, extended=offsets(0, 12, size=8)), [A, B]),
    "extended before basic": (
        encapsulated(A, C, B, frames=2, basic=offsets(0, 12), extended=offsets(0, 22, size=8)),
        [A + C, B],
    ),
    "wrong basic offset table": (encapsulated(A, B, frames=2, basic=offsets(0, 13)), [A, B]),
    "falling basic offset table": (encapsulated(A, B, frames=2, basic=offsets(12, 0)), [A, B]),
    "odd basic offset table": (encapsulated(A, B, frames=2, basic=b"\0\0\0\0\1\0"), [A, B]),
    "codestreams begin frames": (encapsulated(A, C, B, C, C, frames=2), [A + C, B + C + C]),
    "an empty fragment is a frame": (encapsulated(A, b"", B, frames=3), [A, b"", B]),
    "empty fragments are none": (encapsulated(b"", C, b"", C + C, frames=2, syntax=RLE), [C + b"", C + C]),
    "nothing tells": (encapsulated(C, C, C, frames=2, syntax=RLE), []),
    "no fragment": (encapsulated(frames=1), []),
    "video": (encapsulated(A, C, frames=100, syntax=MPEG4), [A + C]),
    "no end, one fragment each": (encapsulated(A, B, frames=2, is_closed=False), [A, B]),
    "no end, so the last frame may lack fragments": (
        encapsulated(A, C, B, C, frames=2, basic=offsets(0, 22), is_closed=False),
        [A + C],
    ),
    "all fragments are empty": (encapsulated(b"", b"", frames=1), []),
    "last frame cut off": (encapsulated(A, B, frames=2, is_closed=False)[:-1], [A]),
}


@pytest.mark.parametrize(("file", "expected"), ENCAPSULATED.values(), ids=ENCAPSULATED)
def test_encapsulated(file: bytes, expected: list[bytes]) -> None:
    """Frames are found by the offset tables, else by fragments, else by where codestreams begin (PS3.5 §A.4)."""
    assert frames_of(file) == expected


SIX = b"abcdef"

NATIVES: Mapping[str, tuple[bytes, list[bytes]]] = {
    "one frame": (native(SIX), [SIX]),
    "several": (native(SIX * 3, NumberOfFrames="3"), [SIX] * 3),
    "colour": (native(SIX * 6, NumberOfFrames="2", SamplesPerPixel=3), [SIX * 3] * 2),
    "subsampled colour": (
        native(SIX * 4, NumberOfFrames="2", SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422"),
        [SIX * 2] * 2,
    ),
    "all samples although subsampled": (
        native(SIX * 6, NumberOfFrames="2", SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422"),
        [SIX * 3] * 2,
    ),
    "compressed, and still of defined length": (
        file_of(dataset(Rows=2, Columns=3, BitsAllocated=8), JPEG) + pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 6) + SIX,
        [],
    ),
    "float": (native(SIX * 8, "FloatPixelData", BitsAllocated=32, NumberOfFrames="2"), [SIX * 4] * 2),
    "double": (native(SIX * 8, "DoubleFloatPixelData", BitsAllocated=64), [SIX * 8]),
    "bits": (native(b"\x3f\xf0", BitsAllocated=1, NumberOfFrames="2"), [b"\x3f", b"\x3f\xf0"]),
    "fewer than it says": (native(SIX * 2, NumberOfFrames="3"), [SIX] * 2),
    "cut off": (native(SIX * 3, NumberOfFrames="3")[:-7], [SIX]),
    "no size": (native(SIX, Rows=None), []),
    "deflated": (native(SIX, syntax=DEFLATED), []),
    "none": (file_of(dataset()), []),
}


@pytest.mark.parametrize(("file", "expected"), NATIVES.values(), ids=NATIVES)
def test_native(file: bytes, expected: list[bytes]) -> None:
    """Native frames follow each other, each of the length that the image has (PS3.5 §8.1.1, §8.2)."""
    assert frames_of(file) == expected


def test_pages() -> None:
    """Many frames are cut into pages, and each page finds its own frames."""
    fragments = [SOI + pack("<H", number) for number in range(2 * FRAMES_OF_A_PAGE + 5)]
    file = encapsulated(*fragments, frames=len(fragments))

    pages = frame_pages(read_header(file), len(file))

    assert [page.first_frame for page in pages] == [1, FRAMES_OF_A_PAGE + 1, 2 * FRAMES_OF_A_PAGE + 1]
    assert frames_of(file) == fragments


def test_too_many_fragments() -> None:
    """Fragments beyond the bound are not counted: the file stays readable, its frames are not told."""
    items = pack("<HHL", 0xFFFE, 0xE000, 0)
    reader = HeaderReader()
    reader.feed(encapsulated(frames=MAX_FRAGMENTS + 1, is_closed=False))
    for _ in range(8):
        reader.feed(items * (MAX_FRAGMENTS // 8))
    reader.feed(items)

    header = reader.finish()

    assert len(header.fragments or ()) == MAX_FRAGMENTS
    assert frame_pages(header, 2**40) == ()


def test_arrives_in_pieces() -> None:
    """A file that arrives byte by byte has the same frames."""
    file = encapsulated(A, C, B, frames=2, basic=offsets(0, 22), extended=offsets(0, 22, size=8))
    reader = HeaderReader()
    for byte in file:
        reader.feed(bytes([byte]))

    assert frame_pages(reader.finish(), len(file)) == frame_pages(read_header(file), len(file))


_PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_FRAMELESS = {
    "damaged/bad-vr.dcm": "refused at Store",
    "damaged/cut-at-1007.dcm": "cut off within its only frame",
    "damaged/cut-at-908.dcm": "cut off within its only frame",
    "invalid/MR_truncated.dcm": "cut off within its only frame",
    "invalid/bulk-3gb-truncated.dcm": "cut off within its only frame",
    "invalid/meta_missing_tsyntax.dcm": "refused at Store",
    "invalid/monochrome-46341.dcm": "its pixel data are shorter than its only frame",
}
"""Files in which pydicom finds pixel data, and there is no whole frame all the same."""


def _has_pixel_data(path: Path) -> bool:
    """Return whether pydicom finds pixel data in a file whose bytes they are: not in a deflated one."""
    try:
        if read_file_meta_info(path).get("TransferSyntaxUID") == DEFLATED:
            return False
        found = pydicom.dcmread(path, defer_size=1024)
    except (InvalidDicomError, EOFError, OSError, RecursionError, ValueError):
        return False
    return any(tag in found for tag in _PIXEL_DATA)


CORPUS = {
    name: path
    for name, path in ((str(path.relative_to(DATA)), path) for path in sorted(DATA.rglob("*.dcm")))
    if name not in _FRAMELESS and _has_pixel_data(path)
}
"""The files with frames, as pydicom has it: one in which only we find none fails."""


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is absent")
@pytest.mark.parametrize("name", CORPUS)
def test_as_pydicom(name: str) -> None:
    """The frames of a real file are those that pydicom finds, or together its native pixel data."""
    file = CORPUS[name].read_bytes()
    header = read_header(file)
    pages = frame_pages(header, len(file))
    assert pages
    pixels = next(element for element in pydicom.dcmread(BytesIO(file)) if int(element.tag) in _PIXEL_DATA)

    if header.fragments is None:
        joined = b"".join(frames_of(file)) if pages[0].frame_bits % 8 == 0 else _bits(file, pages[0])
        assert pixels.value.startswith(joined)
        assert len(joined) >= len(pixels.value) - 1 or name in _SHORT
    else:
        assert frames_of(file) == list(generate_frames(pixels.value, number_of_frames=_count(pages)))


_SHORT = {"invalid/badVR.dcm": "its Number of Frames is no number, so there is one frame"}


def _count(pages: tuple[FramePage, ...]) -> int:
    return sum(page.frame_count for page in pages)


def _bits(file: bytes, page: FramePage) -> bytes:
    """Return the bytes of all frames of one bit a pixel, which share bytes."""
    return file[page.offset : page.offset + -(-page.frame_count * page.frame_bits // 8)]


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is absent")
@pytest.mark.parametrize("name", _FRAMELESS)
def test_frameless(name: str) -> None:
    """No frame is told of a file that is refused or that ends within its first."""
    file = (DATA / name).read_bytes()
    try:
        header = read_header(file)
    except UnreadableFile:
        assert _FRAMELESS[name] == "refused at Store"
    else:
        assert frame_pages(header, len(file)) == ()
