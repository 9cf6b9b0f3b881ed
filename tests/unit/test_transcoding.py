"""Whole files in another transfer syntax (`shared/dicom/transcoding.py`, `explicit.py`), read again by pydicom."""

import zlib
from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from shared.dicom import syntaxes
from shared.dicom.image import Image
from shared.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from shared.dicom.pixels import decode_frame, recode_frame
from shared.dicom.transcoding import inflate, transcode
from shared.errors import NotDecodable
from tests.factories import dataset, file_of
from tests.pixel_files import DATA, Stored, judged, name_of, pixel_files, stored

FILES = pixel_files()
TARGETS = sorted(syntaxes.ENCODABLE)
MANY_CELLS, SLOW_CELLS = 1_500_000, 300_000
"""Of a whole file: above, only some of its frames are encoded, so that the tests stay short; JPEG 2000 is slow."""
DESCRIBED = frozenset(
    {
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "HighBit",
        "LossyImageCompression",
        "LossyImageCompressionMethod",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
        "EncapsulatedPixelDataValueTotalLength",
        "PixelData",
        "FloatPixelData",
        "DataSetTrailingPadding",
    }
)
"""What may change."""


def transcoded(one: Stored, target: str, frames: Iterable[bytes] | None = None) -> bytes:
    given = one.frames if frames is None else frames
    return b"".join(transcode(one.before, one.behind, given, one.image, one.syntax, target))


def pixels_of(one: Stored) -> list[Any]:
    return [
        decode_frame(frame, one.syntax, one.image, bit_offset=one.bit_offset(number)).array
        for number, frame in enumerate(one.frames)
    ]


def is_compressible(image: Image, target: str) -> bool:
    if target == syntaxes.EXPLICIT:
        return True
    is_integer = image.numbers.value == "7FE00010" and image.bits_allocated > 1
    return is_integer and (image.bits_stored <= 16 or target == syntaxes.RLE)


def elements_of(file: Dataset) -> dict[str, Any]:
    """Return the elements that must be as they were, in the form that their bytes have in explicit VR."""
    found = {}
    for tag in sorted(file.keys()):
        if tag.element and tag.group != 0xFFFE:
            element = file[tag]
            if element.keyword not in DESCRIBED:
                found[str(tag)] = [elements_of(item) for item in element.value] if element.VR == "SQ" else element.value
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_corpus(path: Path, target: str) -> None:
    """A file of the corpus keeps its pixels bit for bit, as pydicom reads them, and all its other elements."""
    one = stored(path.read_bytes())
    cells = one.image.cells * one.image.frames
    if not is_compressible(one.image, target):
        with pytest.raises(NotDecodable, match=r"cannot be compressed|of 32 bits"):
            next(transcode(one.before, one.behind, one.frames, one.image, one.syntax, target))
        return
    if target != syntaxes.EXPLICIT and cells > (SLOW_CELLS if target == syntaxes.JPEG_2000_LOSSLESS else MANY_CELLS):
        frame = one.frames[-1]
        again = decode_frame(recode_frame(frame, one.syntax, one.image, target), target, one.image)
        assert np.array_equal(again.array, decode_frame(frame, one.syntax, one.image).array)
        return

    found = pydicom.dcmread(BytesIO(transcoded(one, target)))

    expected, origin = pixels_of(one), pydicom.dcmread(path)
    if any(
        "PixelData" in icon and icon["PixelData"].is_undefined_length for icon in origin.get("IconImageSequence", ())
    ):
        del origin.IconImageSequence  # `test_icon`
    before, after = elements_of(origin), elements_of(found)
    is_native = one.syntax in syntaxes.NATIVE and target == syntaxes.EXPLICIT
    read = judged(found, raw=found.PhotometricInterpretation not in {"YBR_RCT", "YBR_ICT"})
    assert len(read) == len(expected)
    for array, other in zip(read, expected, strict=True):
        assert array.dtype == other.dtype
        assert np.array_equal(array, other, equal_nan=array.dtype.kind == "f")
    assert found.file_meta.TransferSyntaxUID == target
    assert not is_native or found.PhotometricInterpretation == one.image.photometric
    if one.syntax != syntaxes.BIG_ENDIAN:  # where pydicom turns values of UN, which nobody has turned before
        assert repr(after) == repr(before)


@pytest.fixture
def grey() -> Dataset:
    """Return an instance with a picture of 12 bits, private elements, a nested sequence and text in Latin-1."""
    made = dataset(
        Rows=4,
        Columns=5,
        SamplesPerPixel=1,
        BitsAllocated=16,
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=1,
        PhotometricInterpretation="MONOCHROME2",
        SmallestImagePixelValue=-7,
        SpecificCharacterSet="ISO_IR 100",
        PatientName="M\xfcller^J\xf6rg",
    )
    made.private_block(0x0011, "OURS", create=True).add_new(1, "FD", [1.5, -2.5])
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.ReferencedFrameNumber = [1, 2]
    made.ReferencedImageSequence = Sequence([item])
    made.PixelData = np.arange(-10, 10, dtype="<i2").tobytes()
    made["PixelData"].VR = "OW"
    return made


def taken_apart(made: Dataset, syntax: str) -> Stored:
    if syntax == syntaxes.BIG_ENDIAN:
        made.PixelData = np.frombuffer(made.PixelData, "<i2").astype(">i2").tobytes()
    return stored(file_of(made, syntax))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", sorted(syntaxes.NATIVE))
def test_encodings(grey: Dataset, source: str, target: str) -> None:
    """Implicit, big endian and deflated data sets come out with every value, and text with its bytes."""
    file = transcoded(taken_apart(grey, source), target)

    found = pydicom.dcmread(BytesIO(file))
    assert b"PN\x0c\0M\xfcller^J\xf6rg " in file
    assert found.SmallestImagePixelValue == -7
    assert found.ReferencedImageSequence[0].ReferencedFrameNumber == [1, 2]
    assert found.private_block(0x0011, "OURS")[1].value in ([1.5, -2.5], pack("<2d", 1.5, -2.5))
    assert found.pixel_array.ravel().tolist() == list(range(-10, 10))


@pytest.mark.parametrize("target", TARGETS)
def test_file_meta(grey: Dataset, target: str) -> None:
    """Group 0002 is ours, and of the instance (PS3.10 §7.1)."""
    one = taken_apart(grey, syntaxes.IMPLICIT)

    meta = pydicom.dcmread(BytesIO(transcoded(one, target))).file_meta

    assert meta.MediaStorageSOPInstanceUID == grey.SOPInstanceUID
    assert meta.MediaStorageSOPClassUID == grey.SOPClassUID
    assert meta.TransferSyntaxUID == target
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert len(meta) == 7


def test_first_frame_before_first_piece(grey: Dataset) -> None:
    """What cannot be decoded fails before anything was sent."""
    one = taken_apart(grey, syntaxes.EXPLICIT)

    for frames, target in (([], syntaxes.EXPLICIT), ([b"\0"], syntaxes.RLE), ([b"\0"], syntaxes.EXPLICIT)):
        with pytest.raises(NotDecodable):
            next(transcode(one.before, b"", frames, one.image, one.syntax, target))


@pytest.mark.parametrize("target", [syntaxes.EXPLICIT, syntaxes.RLE])
@pytest.mark.parametrize("count", [1, 3])
def test_number_of_frames(grey: Dataset, target: str, count: int) -> None:
    """Fewer or more frames than the data set says end the stream with an error, never a file that looks whole."""
    grey.NumberOfFrames = 2
    grey.PixelData = grey.PixelData * 2
    one = taken_apart(grey, syntaxes.EXPLICIT)
    given = [*one.frames, one.frames[0]][:count]

    with pytest.raises(NotDecodable, match=f"{count} frames found, Number of Frames is 2"):
        transcoded(one, target, given)


def test_frames_on_demand(grey: Dataset) -> None:
    """One frame is asked for, and is sent, before the next one is."""
    grey.NumberOfFrames = 3
    grey.PixelData = grey.PixelData * 3
    one = taken_apart(grey, syntaxes.EXPLICIT)
    asked = []

    def frames() -> Iterable[bytes]:
        for number, frame in enumerate(one.frames):
            asked.append(number)
            yield frame

    progress = [len(asked) for _ in transcode(one.before, b"", frames(), one.image, one.syntax, syntaxes.RLE)]

    assert progress[0] == 1
    assert sorted(set(progress)) == [1, 2, 3]


def test_without_pixel_data() -> None:
    """A file without pixel data changes its encoding alone, and is in explicit VR whatever was asked for."""
    made = dataset(StudyDescription="Tea", SpecificCharacterSet="ISO_IR 192")

    for source in sorted(syntaxes.NATIVE - {syntaxes.DEFLATED}):
        pieces = transcode(file_of(made, source), b"", (), None, source, syntaxes.JPEG_2000_LOSSLESS)
        found = pydicom.dcmread(BytesIO(b"".join(pieces)))
        assert found.file_meta.TransferSyntaxUID == syntaxes.EXPLICIT
        assert found == made


@pytest.mark.parametrize(("is_encapsulated", "is_kept"), [(True, False), (False, True)])
def test_icon(grey: Dataset, is_encapsulated: bool, is_kept: bool) -> None:
    """An icon in the file's own compression goes; one that anybody can read stays (PS3.5 §A.4)."""
    icon = Dataset()
    icon.Rows, icon.Columns = 1, 2
    icon.PixelData = encapsulate([b"codestream"]) if is_encapsulated else b"ab"
    icon["PixelData"].VR = "OB"
    icon["PixelData"].is_undefined_length = is_encapsulated
    grey.IconImageSequence = [icon]
    one = stored(file_of(grey))

    found = pydicom.dcmread(BytesIO(transcoded(one, syntaxes.JPEG_2000_LOSSLESS)))

    assert ("IconImageSequence" in found) is is_kept


def test_bits(grey: Dataset) -> None:
    """Frames of single bits follow each other without padding, wherever they began (PS3.5 §8.1.1)."""
    bits = np.random.default_rng(3).integers(0, 2, 4 * 15, dtype="u1")
    for keyword, value in {"Rows": 3, "BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "NumberOfFrames": 4}.items():
        setattr(grey, keyword, value)
    grey.PixelRepresentation, grey.SmallestImagePixelValue = 0, 0
    grey.PixelData = np.packbits(bits, bitorder="little").tobytes()

    for source in (syntaxes.IMPLICIT, syntaxes.EXPLICIT):
        one = stored(file_of(grey, source))
        found = pydicom.dcmread(BytesIO(transcoded(one, syntaxes.EXPLICIT)))
        assert bytes(found.PixelData) == grey.PixelData


def test_bits_frame_by_frame(grey: Dataset) -> None:
    """Frames that were fragments of their own, each beginning with a byte, are joined bit to bit."""
    one = taken_apart(grey, syntaxes.EXPLICIT)
    of = replace(one.image, rows=3, columns=3, bits_allocated=1, bits_stored=1, high_bit=0, frames=3, is_signed=False)
    bits = np.random.default_rng(3).integers(0, 2, (3, 9), dtype="u1")
    frames = [np.packbits(frame, bitorder="little").tobytes() for frame in bits]

    pieces = transcode(one.before, b"", frames, of, syntaxes.ENCAPSULATED_UNCOMPRESSED, syntaxes.EXPLICIT)

    assert b"".join(pieces).endswith(b"OB\0\0\4\0\0\0" + np.packbits(bits, bitorder="little").tobytes())


@pytest.mark.parametrize(
    ("target", "photometric", "planar"),
    [
        (syntaxes.EXPLICIT, "RGB", 1),
        (syntaxes.JPEG_2000_LOSSLESS, "YBR_RCT", 0),
        (syntaxes.HTJ2K_LOSSLESS, "YBR_RCT", 0),
        (syntaxes.JPEG_LS, "RGB", 0),
        (syntaxes.RLE, "RGB", 1),
    ],
)
def test_description_of_colours(target: str, photometric: str, planar: int) -> None:
    """Photometric Interpretation and Planar Configuration say what is there then; native planes stay planes."""
    pixels = np.arange(60, dtype="u1").reshape(3, 4, 5)
    made = dataset(Rows=4, Columns=5, SamplesPerPixel=3, BitsAllocated=8, BitsStored=8, HighBit=7)
    made.PixelRepresentation, made.PlanarConfiguration, made.PhotometricInterpretation = 0, 1, "RGB"
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OB"

    found = pydicom.dcmread(BytesIO(transcoded(stored(file_of(made, syntaxes.EXPLICIT)), target)))

    assert (found.PhotometricInterpretation, found.PlanarConfiguration) == (photometric, planar)
    assert np.array_equal(found.pixel_array, pixels.transpose(1, 2, 0))


def test_description_of_high_bits(grey: Dataset) -> None:
    """Stored bits that lie at the top of their words come down when they are compressed, and High Bit says so."""
    grey.HighBit = 15
    grey.PixelData = (np.arange(-10, 10, dtype="<i2") << 4).tobytes()
    one = taken_apart(grey, syntaxes.EXPLICIT)

    for target in TARGETS:
        found = pydicom.dcmread(BytesIO(transcoded(one, target)))
        is_moved = target != syntaxes.EXPLICIT
        assert found.HighBit == (11 if is_moved else 15)
        assert not is_moved or found.pixel_array.ravel().tolist() == list(range(-10, 10))


@pytest.mark.parametrize("target", TARGETS)
def test_overlay_bits(grey: Dataset, target: str) -> None:
    """Overlays in unused bits of the pixels stay there, bit for bit (retired; PS3.3 2004 §C.9.2)."""
    cells = np.arange(20, dtype="<u2") * 3 | np.where(np.arange(20) % 3, 0, 0x8000).astype("<u2")
    grey.PixelRepresentation, grey.SmallestImagePixelValue, grey.PixelData = 0, 0, cells.tobytes()
    for number, vr, value in ((0x0010, "US", 4), (0x0011, "US", 5), (0x0100, "US", 16), (0x0102, "US", 15)):
        grey.add_new((0x6000, number), vr, value)
    one = taken_apart(grey, syntaxes.EXPLICIT)

    again = stored(transcoded(one, target))

    assert transcoded(again, syntaxes.EXPLICIT).endswith(cells.tobytes())
    assert pixels_of(again)[0].ravel().tolist() == (cells & 0xFFF).tolist()


@pytest.mark.skipif(not FILES, reason="the corpus is not there")
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("xa/xa-jpeg-96f.dcm", "ISO_10918_1"),
        ("jpeg-ls/JPEGLSNearLossless_16.dcm", "ISO_14495_1"),
        ("htj2k/HTJ2K_08_RGB.dcm", "ISO_15444_15"),
        ("jpeg/JPEG-LL.dcm", None),
    ],
)
def test_lossy_stays_lossy(name: str, method: str | None) -> None:
    """What was compressed with loss says so when it is no longer compressed (PS3.3 §C.7.6.1.1.5)."""
    one = stored((DATA / name).read_bytes())

    found = pydicom.dcmread(BytesIO(transcoded(one, syntaxes.EXPLICIT)), stop_before_pixels=True)

    assert found.get("LossyImageCompression", "00") == ("01" if method else "00")
    assert found.get("LossyImageCompressionMethod") == method


def test_offset_tables_go(grey: Dataset) -> None:
    """Extended offset tables tell of fragments that are no longer there (PS3.3 §C.7.6.3.1.8)."""
    one = taken_apart(grey, syntaxes.EXPLICIT)
    table = pack("<HH2sHLQ", 0x7FE0, 1, b"OV", 0, 8, 0) + pack("<HH2sHLQ", 0x7FE0, 2, b"OV", 0, 8, 40)

    pieces = transcode(one.before + table, b"", one.frames, one.image, one.syntax, syntaxes.EXPLICIT)

    found = pydicom.dcmread(BytesIO(b"".join(pieces)))
    assert "ExtendedOffsetTable" not in found
    assert "ExtendedOffsetTableLengths" not in found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", sorted(syntaxes.NATIVE))
def test_tail(grey: Dataset, source: str, target: str) -> None:
    """What follows the pixel data stays, but for padding."""
    grey.add_new((0x7FE1, 0x0010), "LO", "OURS")
    grey.add_new((0x7FE1, 0x1001), "US", 258)
    grey.DataSetTrailingPadding = b"\0\0\0\0"

    found = pydicom.dcmread(BytesIO(transcoded(taken_apart(grey, source), target)))

    assert found[0x7FE1, 0x1001].value in (258, b"\2\1")
    assert "DataSetTrailingPadding" not in found


def test_unreadable_tail(grey: Dataset) -> None:
    """Noise behind the pixel data, which Store takes too, is left out."""
    one = taken_apart(grey, syntaxes.EXPLICIT)

    for tail in (b"\xfe\xff\xdd\xe0\0\0\0\0", b"noise", b"\x01"):
        pieces = transcode(one.before, tail, one.frames, one.image, one.syntax, syntaxes.EXPLICIT)
        assert b"".join(pieces) == transcoded(one, syntaxes.EXPLICIT)


def test_unreadable_header(grey: Dataset) -> None:
    """A data set that cannot be written again is refused without a word of what it holds."""
    one = taken_apart(grey, syntaxes.EXPLICIT)

    for cut in (1, 3, 9, 11):
        with pytest.raises(NotDecodable) as refused:
            next(transcode(one.before[:-cut], b"", one.frames, one.image, one.syntax, syntaxes.EXPLICIT))
        assert "ller" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (syntaxes.EXPLICIT, syntaxes.JPEG_BASELINE),
        ("1.2.840.10008.1.2.4.102", syntaxes.EXPLICIT),
    ],
)
def test_unknown_syntax(grey: Dataset, source: str, target: str) -> None:
    """Without a codec there is no transcoding."""
    one = taken_apart(grey, syntaxes.EXPLICIT)

    with pytest.raises(NotDecodable, match=r"no codec|not written"):
        next(transcode(one.before, b"", one.frames, one.image, source, target))


def test_inflate(grey: Dataset) -> None:
    """A deflated file becomes one in Explicit VR Little Endian with the same data set."""
    found = pydicom.dcmread(BytesIO(inflate(file_of(grey, syntaxes.DEFLATED), max_bytes=1_000_000)))

    assert found.file_meta.TransferSyntaxUID == syntaxes.EXPLICIT
    assert found == grey


def test_inflate_what_is_not_whole(grey: Dataset) -> None:
    """A deflated data set that is damaged, cut short, or grows beyond its bound is refused."""
    file = file_of(grey, syntaxes.DEFLATED)
    at = 144 + int.from_bytes(file[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    bomb = file[:at] + packer.compress(bytes(5_000_000)) + packer.flush()

    for broken in (file[: at + 40], file[:at] + b"\xff" * 50, file[:100], bomb):
        with pytest.raises(NotDecodable):
            inflate(broken, max_bytes=1_000_000)
