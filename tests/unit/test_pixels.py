"""Frames as pixels: the corpus against pydicom, and the cases of PS3.5 §8 (`shared/dicom/pixels.py`)."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import compressobj

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image as Picture

from shared.dicom import syntaxes
from shared.dicom.image import Image, Numbers
from shared.dicom.pixels import decode_frame, encode_frame, native_frame
from shared.errors import NotDecodable
from tests.pixel_files import DATA, judged, judged_by_gdcm, name_of, pixel_files, stored

FILES = pixel_files()
without_corpus = pytest.mark.skipif(not FILES, reason="the corpus is not there")

ONLY_GDCM = ("jpeg/JPGExtended.dcm", "jpeg/JPEG-lossy.dcm", "fragments/ect-nobot-51.dcm", "jpeg/ct-process6-8.dcm")
"""JPEG of 12 bits, which pydicom leaves to others."""
NO_JUDGE = ("new-syntaxes/jpegxl-recompression.dcm", "new-syntaxes/liver-deflated-frame.dcm", "wsi/sm-140f.dcm")
"""Files with tests of their own."""
J2K = syntaxes.JPEG_2000_LOSSLESS
LOSSY_BOUND = 2
"""By how much a sample of a lossy JPEG may differ between decoders, after colours were converted."""


def image(array: Any = None, **changes: Any) -> Image:
    """Return the description of an array, 8 bits and grey if nothing else is said."""
    rows, columns, *samples = (2, 4) if array is None else array.shape
    bits = 8 if array is None else array.dtype.itemsize * 8
    usual = Image(rows, columns, samples[0] if samples else 1, bits, bits, bits - 1, False, "MONOCHROME2")
    return replace(usual, **changes)


def values(frame: bytes, syntax: str, of: Image, **options: Any) -> list[Any]:
    return list(decode_frame(frame, syntax, of, **options).array.ravel())


@without_corpus
@pytest.mark.parametrize("path", [one for one in FILES if name_of(one) not in ONLY_GDCM + NO_JUDGE], ids=name_of)
def test_corpus_against_pydicom(path: Path) -> None:
    """Every frame equals pydicom's: bit for bit, or within `LOSSY_BOUND` for lossy JPEG, with the type it has there."""
    one = stored(path.read_bytes())
    bound = LOSSY_BOUND if syntaxes.LOSSY_METHOD.get(one.syntax) == "ISO_10918_1" else 0

    expected = judged(pydicom.dcmread(path), raw=not bound)

    assert len(one.frames) == len(expected)
    for number, (frame, pixels) in enumerate(zip(one.frames, expected, strict=True)):
        found = decode_frame(frame, one.syntax, one.image, bit_offset=one.bit_offset(number))
        assert (found.array.shape, found.array.dtype) == (pixels.shape, pixels.dtype.newbyteorder("="))
        assert np.abs(found.array.astype("f8") - pixels).max() <= bound


@without_corpus
@pytest.mark.parametrize("name", ONLY_GDCM)
def test_corpus_against_gdcm(name: str) -> None:
    """JPEG of 12 bits, also the retired progressive one, equals gdcm's sample by sample."""
    one = stored((DATA / name).read_bytes())

    found = np.concatenate([decode_frame(frame, one.syntax, one.image).array.ravel() for frame in one.frames])

    assert np.abs(found.astype("i4") - judged_by_gdcm(DATA / name)).max() <= LOSSY_BOUND


@without_corpus
def test_jpeg_xl_recompression() -> None:
    """A JPEG in JPEG XL equals that JPEG within 10 of 255, and within 1 on average: its decoder keeps more digits."""
    one = stored((DATA / "new-syntaxes/jpegxl-recompression.dcm").read_bytes())

    for frame in one.frames[::9]:
        found = decode_frame(frame, one.syntax, one.image)
        picture = Picture.open(BytesIO(imagecodecs.jpegxl_decode_jpeg(frame, numthreads=1))).convert("RGB")
        difference = np.abs(found.array.astype("i4") - np.asarray(picture))
        assert found.photometric == "RGB"
        assert difference.max() <= 10
        assert difference.mean() < 1


@without_corpus
def test_deflated_frames() -> None:
    """Frames deflated one by one are those of the same segmentation without compression (PS3.5 §A.4.12)."""
    deflated = stored((DATA / "new-syntaxes/liver-deflated-frame.dcm").read_bytes())
    plain = stored((DATA / "seg/liver.dcm").read_bytes())

    for number, (frame, native) in enumerate(zip(deflated.frames, plain.frames, strict=True)):
        found = decode_frame(frame, deflated.syntax, deflated.image)
        expected = decode_frame(native, plain.syntax, plain.image, bit_offset=plain.bit_offset(number))
        assert np.array_equal(found.array, expected.array)


@without_corpus
def test_edge_tiles() -> None:
    """Tiles at the edge of a slide may be smaller than the data set says; the rest is zero."""
    one = stored((DATA / "wsi/sm-140f.dcm").read_bytes())

    small = 0
    for frame in one.frames:
        expected = np.asarray(Picture.open(BytesIO(frame)).convert("RGB"))
        found = decode_frame(frame, one.syntax, one.image).array
        rows, columns, _ = expected.shape
        small += expected.shape != found.shape
        assert np.abs(found[:rows, :columns].astype("i4") - expected).max() <= LOSSY_BOUND
        assert not found[rows:].any()
        assert not found[:, columns:].any()
    assert small


@pytest.mark.parametrize(
    ("code", "bits_stored", "high_bit", "is_signed", "cell", "expected"),
    [
        ("<H", 12, 11, False, 0xF123, 0x123),
        ("<H", 12, 11, True, 0x7823, 0x823 - 0x1000),
        ("<H", 12, 15, False, 0x1237, 0x123),
        ("<H", 12, 15, True, 0x8237, 0x823 - 0x1000),
        ("<H", 16, 15, True, 0xFFFE, -2),
        ("<B", 7, 6, False, 0xFF, 0x7F),
        ("<L", 32, 31, False, 0xFFFFFFFF, 0xFFFFFFFF),
        ("<L", 20, 19, True, 0x00FFFFFF, -1),
    ],
)
def test_stored_bits(code: str, bits_stored: int, high_bit: int, is_signed: bool, cell: int, expected: int) -> None:
    """Only the stored bits count, wherever the others come from, and the highest of them is the sign (PS3.5 §8.1.1)."""
    size = np.dtype(code).itemsize
    of = image(rows=1, columns=1, bits_allocated=size * 8, bits_stored=bits_stored, high_bit=high_bit)
    of = replace(of, is_signed=is_signed)

    found = decode_frame(cell.to_bytes(size, "little"), syntaxes.EXPLICIT, of)
    big = decode_frame(cell.to_bytes(size, "big"), syntaxes.BIG_ENDIAN, of)

    assert found.array.tolist() == big.array.tolist() == [[expected]]
    assert found.array.dtype.str.lstrip("<|") == f"{'i' if is_signed else 'u'}{size}"


def test_planar_colours() -> None:
    """Colour by plane and colour by pixel are the same pixels (PS3.3 §C.7.6.3.1.3)."""
    pixels = np.arange(24, dtype="u1").reshape(2, 4, 3)
    of = image(pixels, photometric="RGB")
    planes = pixels.transpose(2, 0, 1).tobytes()

    assert np.array_equal(decode_frame(pixels.tobytes(), syntaxes.EXPLICIT, of).array, pixels)
    assert np.array_equal(decode_frame(planes, syntaxes.EXPLICIT, replace(of, is_planar=True)).array, pixels)


def test_subsampled_colours() -> None:
    """Two pixels share CB and CR: Y, Y, CB, CR (PS3.3 §C.7.6.3.1.2); they become YBR_FULL."""
    of = image(rows=1, columns=4, samples=3, photometric="YBR_FULL_422")

    found = decode_frame(bytes([1, 2, 128, 129, 3, 4, 130, 131]), syntaxes.EXPLICIT, of)

    assert found.photometric == "YBR_FULL"
    assert found.array.tolist() == [[[1, 128, 129], [2, 128, 129], [3, 130, 131], [4, 130, 131]]]


def test_subsampled_colours_in_full() -> None:
    """A frame that is called subsampled and has all of its samples is read as it is."""
    of = image(rows=1, columns=2, samples=3, photometric="YBR_FULL_422")

    assert values(bytes(range(6)), syntaxes.EXPLICIT, of) == [0, 1, 2, 3, 4, 5]


def test_bytes_in_words() -> None:
    """In big endian, 8-bit samples in words are turned in pairs; those in bytes are not (PS3.5 §8.1.1)."""
    of = image(rows=1, columns=4)

    assert values(b"\1\0\3\2", syntaxes.BIG_ENDIAN, replace(of, is_word=True)) == [0, 1, 2, 3]
    assert values(b"\0\1\2\3", syntaxes.BIG_ENDIAN, of) == [0, 1, 2, 3]
    assert native_frame(b"\1\0\3\2", syntaxes.BIG_ENDIAN, replace(of, is_word=True)) == b"\0\1\2\3"


@pytest.mark.parametrize(("numbers", "code"), [(Numbers.FLOAT, "f4"), (Numbers.DOUBLE, "f8")])
def test_floats(numbers: Numbers, code: str) -> None:
    """Float and Double Float Pixel Data stay what they are, not-a-number too (PS3.3 §C.7.6.24, §C.7.6.25)."""
    pixels = np.array([[0.5, -1e30], [np.nan, np.inf]], code)
    of = image(pixels, numbers=numbers)

    for order, syntax in (("<", syntaxes.EXPLICIT), (">", syntaxes.BIG_ENDIAN)):
        stored_bytes = pixels.astype(f"{order}{code}").tobytes()
        assert decode_frame(stored_bytes, syntax, of).array.tobytes() == pixels.tobytes()
        assert bytes(native_frame(stored_bytes, syntax, of)) == pixels.astype(f"<{code}").tobytes()


def test_bits_between_bytes() -> None:
    """A frame of single bits may begin within a byte, and comes out beginning with one (PS3.5 §8.1.1)."""
    of = image(rows=3, columns=3, bits_allocated=1, bits_stored=1, high_bit=0)
    bits = np.random.default_rng(4).integers(0, 2, 27, dtype="u1")
    pixel_data = np.packbits(bits, bitorder="little").tobytes()

    for number in range(3):
        start = 9 * number
        around = pixel_data[start // 8 : -(-(start + 9) // 8)]
        found = decode_frame(around, syntaxes.EXPLICIT, of, bit_offset=start % 8)
        aligned = native_frame(around, syntaxes.EXPLICIT, of, bit_offset=start % 8)
        assert found.array.ravel().tolist() == bits[start : start + 9].tolist()
        assert bytes(aligned) == np.packbits(bits[start : start + 9], bitorder="little").tobytes()


def test_native_frame_as_stored() -> None:
    """A native frame stays byte for byte, unused bits and planes included."""
    of = image(rows=1, columns=2, samples=3, photometric="RGB", is_planar=True, bits_stored=7, high_bit=6)

    for syntax in (syntaxes.IMPLICIT, syntaxes.EXPLICIT, syntaxes.ENCAPSULATED_UNCOMPRESSED):
        assert bytes(native_frame(b"\xff\1\2\3\4\5", syntax, of)) == b"\xff\1\2\3\4\5"


@without_corpus
@pytest.mark.parametrize("name", ["rle/MR_small_RLE.dcm", "jpeg/rgb-lossless.dcm", "jpeg/ct-j57.dcm"])
def test_native_frame_of_a_compressed_one(name: str) -> None:
    """A compressed frame comes out as pydicom writes it in Explicit VR Little Endian."""
    one, file = stored((DATA / name).read_bytes()), pydicom.dcmread(DATA / name)
    (expected,) = judged(file)

    assert (
        native_frame(one.frames[0], one.syntax, one.image)
        == expected.astype(expected.dtype.newbyteorder("<")).tobytes()
    )


@pytest.mark.parametrize(
    "syntax", [syntaxes.EXPLICIT, syntaxes.BIG_ENDIAN, syntaxes.ENCAPSULATED_UNCOMPRESSED, syntaxes.DEFLATED_FRAMES]
)
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_cut_frame(syntax: str, bits: int) -> None:
    """A native frame that is cut short is no frame."""
    of = image(rows=4, columns=4, bits_allocated=bits, bits_stored=bits, high_bit=bits - 1)
    frame = bytes(2 * bits - 1)
    if syntax == syntaxes.DEFLATED_FRAMES:
        packer = compressobj(wbits=-15)
        frame = packer.compress(frame) + packer.flush()

    with pytest.raises(NotDecodable, match="expected"):
        decode_frame(frame, syntax, of)
    with pytest.raises(NotDecodable, match="expected"):
        native_frame(frame, syntax, of)


def test_deflated_frame_that_grows() -> None:
    """A deflated frame is inflated as far as it may be long, and no further."""
    packer = compressobj(9, wbits=-15)
    bomb = packer.compress(bytes(50_000_000)) + packer.flush()

    assert values(bomb, syntaxes.DEFLATED_FRAMES, image(rows=2, columns=2)) == [0, 0, 0, 0]


@pytest.mark.parametrize("syntax", sorted(syntaxes.ENCODABLE - {syntaxes.EXPLICIT}))
@pytest.mark.parametrize(
    ("changes", "is_refused"),
    [
        ({"bits_allocated": 1, "bits_stored": 1, "high_bit": 0}, {*syntaxes.ENCODABLE}),
        ({"bits_allocated": 32, "bits_stored": 32, "high_bit": 31, "numbers": Numbers.FLOAT}, {*syntaxes.ENCODABLE}),
        ({"bits_allocated": 32, "bits_stored": 32, "high_bit": 31}, syntaxes.ENCODABLE - {syntaxes.RLE}),
        ({"bits_allocated": 32, "bits_stored": 12, "high_bit": 11}, set()),
    ],
    ids=["bits", "floats", "32 bits", "12 of 32 bits"],
)
def test_what_cannot_be_encoded(syntax: str, changes: dict[str, Any], is_refused: set[str]) -> None:
    """One bit, floats and, but for RLE, more than 16 bits cannot be compressed; few bits of many can."""
    of = image(rows=4, columns=4, **changes)
    decoded = decode_frame(bytes(64), syntaxes.EXPLICIT, of)

    if syntax in is_refused:
        with pytest.raises(NotDecodable):
            encode_frame(decoded, of, syntax)
    else:
        again = decode_frame(encode_frame(decoded, of, syntax), syntax, of)
        assert np.array_equal(again.array, decoded.array)
        assert again.array.dtype == decoded.array.dtype


@pytest.mark.parametrize(("code", "least"), [("u2", 0), ("i2", -2048)])
def test_lossy_values_beyond(code: str, least: int) -> None:
    """Values that a lossy codec puts beyond what can be stored become the nearest that can, and do not wrap around."""
    pixels = (np.arange(5000) + (least - 400 if least else 0)).astype(code).reshape(50, 100)
    frame = bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True))
    of = image(pixels, bits_stored=12, high_bit=11, is_signed=least < 0)

    found = decode_frame(frame, syntaxes.JPEG_2000, of).array

    assert np.array_equal(found, np.clip(pixels, least, least + 4095))


@pytest.mark.parametrize("is_signed", [False, True])
def test_sign_that_differs(is_signed: bool) -> None:
    """Pixel Representation says what the bits of a codestream mean, as many as that has (PS3.5 §8.2.4)."""
    bits = np.arange(4096, dtype="u2").reshape(64, 64)
    as_signed = np.where(bits > 2047, bits.astype("i4") - 4096, bits).astype("i2")
    stored_as, meant = (bits, as_signed) if is_signed else (as_signed, bits)
    frame = bytes(imagecodecs.jpeg2k_encode(stored_as, level=0, codecformat="j2k", reversible=True, bitspersample=12))

    found = decode_frame(frame, J2K, image(meant, is_signed=is_signed)).array

    assert np.array_equal(found, meant)
    assert found.dtype == meant.dtype
