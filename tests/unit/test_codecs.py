"""Codecs and the headers that they are kept from (`shared/dicom/codecs.py`, `jpeg_headers.py`, `jpeg_2000.py`, ...)."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from struct import pack
from typing import Any

import imagecodecs
import numpy as np
import pytest

from shared.dicom import syntaxes
from shared.dicom.codecs import CODECS, compress, decompress
from shared.dicom.image import Image, Numbers
from shared.dicom.pixels import decode_frame
from shared.errors import NotDecodable
from tests.pixel_files import DATA, pixel_files, stored

ROOT = Path(__file__).parents[2]
LOSSLESS = sorted(syntaxes.ENCODABLE - {syntaxes.EXPLICIT})
JPEG, J2K, HTJ2K = syntaxes.JPEG_BASELINE, syntaxes.JPEG_2000_LOSSLESS, syntaxes.HTJ2K_LOSSLESS
J_LS, J_XL, J_LOSSLESS = syntaxes.JPEG_LS, syntaxes.JPEG_XL_LOSSLESS, syntaxes.JPEG_LOSSLESS
COMPRESSED = (JPEG, J_LOSSLESS, J_LS, J2K, HTJ2K, J_XL, syntaxes.RLE)


def image(pixels: Any, **changes: Any) -> Image:
    rows, columns, *samples = pixels.shape
    bits, is_signed = pixels.dtype.itemsize * 8, pixels.dtype.kind == "i"
    photometric = "RGB" if samples else "MONOCHROME2"
    count = samples[0] if samples else 1
    return replace(Image(rows, columns, count, bits, bits, bits - 1, is_signed, photometric), **changes)


def drawn(code: str, shape: tuple[int, ...], bits: int) -> Any:
    """Return something between a picture and noise that uses all *bits*."""
    rough = np.random.default_rng(len(shape) * bits).integers(0, 2**bits, shape) >> 3
    smooth = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))
    pixels = (rough + (smooth if len(shape) == 2 else smooth[..., None])) % 2**bits
    pixels.flat[:2] = 0, 2**bits - 1
    return (pixels - (2 ** (bits - 1) if code[0] == "i" else 0)).astype(code)


def frame_of(syntax: str, pixels: Any) -> bytes:
    """Return pixels as a frame, also in what only others write."""
    makers = {
        JPEG: lambda: imagecodecs.jpeg8_encode(pixels, level=100),
        J_LOSSLESS: lambda: imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=4),
        J_XL: lambda: imagecodecs.jpegxl_encode(pixels, lossless=True),
    }
    if syntax in makers:
        return bytes(makers[syntax]())
    return compress(pixels, syntax, pixels.dtype.itemsize * 8, is_rgb=pixels.ndim > 2)


def test_tables_agree() -> None:
    """What may be asked of the codecs without loading them is what they can."""
    native = syntaxes.NATIVE | {syntaxes.ENCAPSULATED_UNCOMPRESSED, syntaxes.DEFLATED_FRAMES}

    assert set(CODECS) == syntaxes.DECODABLE - native
    assert {syntax for syntax, codec in CODECS.items() if codec.encode} == syntaxes.ENCODABLE - native


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize(
    ("code", "shape", "bits", "photometric"),
    [
        ("u1", (33, 47), 8, "MONOCHROME2"),
        ("i1", (33, 47), 8, "MONOCHROME2"),
        ("u1", (16, 16), 1, "MONOCHROME2"),
        ("u2", (33, 47), 12, "MONOCHROME2"),
        ("i2", (33, 47), 12, "MONOCHROME2"),
        ("u2", (33, 47), 16, "MONOCHROME2"),
        ("i2", (33, 47), 16, "MONOCHROME2"),
        ("u2", (1, 1), 16, "MONOCHROME2"),
        ("u1", (1, 300), 8, "MONOCHROME2"),
        ("u2", (300, 1), 10, "MONOCHROME2"),
        ("u1", (21, 35, 3), 8, "RGB"),
        ("u2", (21, 35, 3), 16, "RGB"),
        ("u1", (21, 35, 3), 8, "YBR_FULL"),
        ("u2", (21, 35, 3), 16, "YBR_FULL"),
        ("u1", (1, 1, 3), 8, "RGB"),
    ],
    ids=str,
)
def test_there_and_back(syntax: str, code: str, shape: tuple[int, ...], bits: int, photometric: str) -> None:
    """What is encoded without loss comes back bit for bit, whatever its sign, depth and shape."""
    pixels = drawn(code, shape, bits)
    of = image(pixels, bits_stored=bits, high_bit=bits - 1, photometric=photometric)

    found = decode_frame(compress(pixels, syntax, bits, is_rgb=photometric == "RGB"), syntax, of)

    assert np.array_equal(found.array, pixels)
    assert found.array.dtype == pixels.dtype


def test_rle_of_32_bits() -> None:
    """RLE holds samples of any whole number of bytes (PS3.5 §G.2)."""
    pixels = drawn("u4", (19, 23, 3), 32)

    found = decompress(compress(pixels, syntaxes.RLE, 32, is_rgb=False), syntaxes.RLE, image(pixels))

    assert np.array_equal(found.array, pixels)


def test_rle_rows_by_themselves() -> None:
    """No run crosses the end of a row (PS3.5 §G.3.1), and segments have even lengths (§G.5)."""
    frame = compress(np.zeros((3, 5), "u1"), syntaxes.RLE, 8, is_rgb=False)

    assert frame[64:] == b"\xfc\0" * 3
    assert len(compress(np.arange(5, dtype="u1").reshape(1, 5), syntaxes.RLE, 8, is_rgb=False)) % 2 == 0


def test_jpeg_ls_without_spiff() -> None:
    """A JPEG-LS frame begins with its frame header: some take the codec's SPIFF directory for a second image."""
    assert compress(np.zeros((4, 4), "u1"), J_LS, 8, is_rgb=False)[:4] == b"\xff\xd8\xff\xf7"


@pytest.mark.parametrize(
    ("photometric", "adobe", "expected"),
    [("RGB", None, "RGB"), ("YBR_FULL", None, "YCbCr"), ("RGB", 1, "YCbCr"), ("YBR_FULL", 0, "RGB")],
)
def test_colours_of_a_jpeg(photometric: str, adobe: int | None, expected: str) -> None:
    """What a JPEG says of its colours counts, and the data set where it does not."""
    pixels = np.full((8, 8, 3), (200, 90, 60), "u1")
    colours: dict[str, Any] = {
        "colorspace": "RGB",
        "outcolorspace": expected.upper(),
        "subsampling": "444",
        "level": 100,
    }
    codestream = bytes(imagecodecs.jpeg8_encode(pixels, **colours))
    tables = codestream.index(b"\xff\xdb")
    marker = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([adobe]) if adobe is not None else b""
    # Identifiers that say nothing of the colours, where the encoder wrote "RGB".
    header = codestream[tables:].replace(b"R\x11\0G\x11\0B\x11\0", b"\1\x11\0\2\x11\0\3\x11\0")
    header = header.replace(b"\xff\xda\0\x0c\3R\0G\0B\0", b"\xff\xda\0\x0c\3\1\0\2\0\3\0")

    found = decode_frame(b"\xff\xd8" + marker + header, JPEG, image(pixels, photometric=photometric))

    assert found.photometric == "RGB"
    assert np.abs(found.array.astype("i4") - pixels).max() <= 3


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 17}, "the data set says 17 x 16 x 1|256 bytes found, 272 expected"),
        ({"columns": 31}, "the data set says 16 x 31 x 1|256 bytes found, 496 expected"),
        ({"samples": 3}, "16 x 16 x 3|3 expected"),
        ({"numbers": Numbers.FLOAT, "bits_allocated": 32}, "float"),
    ],
    ids=str,
)
def test_header_that_differs(syntax: str, changes: dict[str, Any], message: str) -> None:
    """A frame that is not the image that its data set describes is not decoded."""
    pixels = drawn("u1", (16, 16), 8)
    with pytest.raises(NotDecodable, match=message):
        decompress(frame_of(syntax, pixels), syntax, image(pixels, **changes))


@pytest.mark.parametrize("syntax", [one for one in COMPRESSED if one not in {JPEG, syntaxes.RLE}])
def test_precision_that_differs(syntax: str) -> None:
    """More bits than are allocated do not fit."""
    pixels = drawn("u2", (16, 16), 16)

    with pytest.raises(NotDecodable, match=r"1\d bits, Bits Allocated is 8"):
        decompress(frame_of(syntax, pixels), syntax, image(pixels, bits_allocated=8, bits_stored=8, high_bit=7))


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize("part", [0, 1, 30, 0.5, 0.9], ids=str)
def test_cut_codestream(syntax: str, part: float) -> None:
    """A codestream that is cut short is not decoded, neither within its header nor within its data."""
    pixels = drawn("u1", (64, 64), 8)
    frame = frame_of(syntax, pixels)
    length = int(part * len(frame)) if isinstance(part, float) else part

    with pytest.raises(NotDecodable):
        decompress(frame[:length], syntax, image(pixels))


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_other_codestream(syntax: str) -> None:
    """Noise, and what is in another syntax, is not decoded; the message holds nothing of it."""
    pixels = drawn("u1", (32, 32), 8)
    others = [frame_of(one, pixels) for one in COMPRESSED if one != syntax and {one, syntax} != {J2K, HTJ2K}]

    for frame in [b"", b"secret text " * 40, bytes(5000), b"\xff" * 5000, *others]:
        with pytest.raises(NotDecodable) as refused:
            decompress(frame, syntax, image(pixels))
        assert "secret" not in str(refused.value)


def test_unknown_syntax() -> None:
    """A transfer syntax without a codec is named."""
    with pytest.raises(NotDecodable, match=r"1\.2\.840\.10008\.1\.2\.4\.102: no codec"):
        decompress(b"", "1.2.840.10008.1.2.4.102", image(np.zeros((2, 2), "u1")))


def siz(columns: int, rows: int, tile: int) -> bytes:
    numbers = pack(">HHLLLLLLLLH", 41, 0, columns, rows, 0, 0, tile, tile, 0, 0, 1)
    return b"\xff\x4f\xff\x51" + numbers + b"\x07\x01\x01"


def cod(layers: int = 1, block: int = 4, precincts: bytes = b"") -> bytes:
    return (
        b"\xff\x52"
        + pack(">HBBHBBBBBB", 12 + len(precincts), bool(precincts), 0, layers, 0, 5, block, block, 0, 1)
        + precincts
    )


TILE = b"\xff\x5c\0\x13\x40" + b"\x40" * 16 + b"\xff\x90" + pack(">HHLBB", 10, 0, 22, 0, 1) + b"\xff\x93" + bytes(8)


@pytest.mark.parametrize(
    ("size", "header", "message"),
    [
        (60000, siz(60000, 60000, 60000) + cod(), "60000 x 60000 x 1, the data set"),
        (8192, siz(8192, 8192, 64) + cod(), "16384 tiles"),
        (8192, siz(8192, 8192, 1) + cod(), "67108864 tiles"),
        (8192, siz(8192, 8192, 4096) + cod(), "1 tiles found, 4 expected"),
        (8192, siz(8192, 8192, 0) + cod(), "do not fit"),
        (4096, siz(4096, 4096, 4096) + cod(precincts=bytes(6)), "code-blocks and precincts"),
        (8192, siz(8192, 8192, 8192) + cod(block=0), "code-blocks and precincts"),
        (512, siz(512, 512, 512) + cod(layers=65535, precincts=b"\x11" * 6), "packets"),
    ],
    ids=["60,000", "tiles", "tiny tiles", "missing tiles", "no tiles", "precincts", "blocks", "layers"],
)
def test_jpeg_2000_bomb(size: int, header: bytes, message: str) -> None:
    """A short codestream that would take gigabytes or minutes does not reach the codec."""
    of = image(np.zeros((1, 1), "u1"), rows=min(size, 8192), columns=min(size, 8192))

    with pytest.raises(NotDecodable, match=message):
        decompress(header + TILE + b"\xff\xd9", J2K, of)


def test_style_of_a_tile() -> None:
    """A coding style in the header of a tile counts as one in that of the image."""
    style = cod(precincts=bytes(6))
    tile = b"\xff\x90" + pack(">HHLBB", 10, 0, 22 + len(style), 0, 1) + style + b"\xff\x93" + bytes(8)

    with pytest.raises(NotDecodable, match="code-blocks and precincts"):
        decompress(
            siz(4096, 4096, 4096) + cod() + TILE[:21] + tile,
            J2K,
            image(np.zeros((1, 1), "u1"), rows=4096, columns=4096),
        )


def test_jpeg_2000_file() -> None:
    """A codestream in a JP2 file, against PS3.5 §A.4.4, is decoded too."""
    pixels = drawn("u1", (16, 16), 8)
    file = bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2", reversible=True))

    assert file[4:8] == b"jP  "
    assert np.array_equal(decompress(file, J2K, image(pixels)).array, pixels)


def test_jpeg_with_many_scans() -> None:
    """Scans that would go over the image a thousand times do not."""
    pixels = np.zeros((64, 64), "u1")
    frame = frame_of(JPEG, pixels)
    scan = frame[frame.index(b"\xff\xda") : -2]

    with pytest.raises(NotDecodable, match="scans"):
        decompress(frame[:-2] + scan * 1000 + b"\xff\xd9", JPEG, image(pixels))


MUTATIONS = """
import pickle, random, resource, sys
from shared.dicom.pixels import decode_frame
from shared.errors import NotDecodable

frames, count = pickle.load(sys.stdin.buffer)
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for frame, *rest in frames:  # the codecs load before memory is counted
    decode_frame(frame, *rest)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
chance = random.Random(5)
refused = 0
for frame, *rest in frames:
    for _ in range(count):
        content = bytearray(frame)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(min(len(content), chance.choice((64, 300, len(content)))))
            what = chance.randrange(4)
            if what == 0:
                content[at] ^= 1 << chance.randrange(8)
            elif what == 1:
                content[at] = chance.choice((0, 1, 127, 128, 255))
            elif what == 2:
                del content[at : at + chance.randrange(1, 40)]
            else:
                content[at:at] = content[: chance.randrange(1, 60)]
            content = content or bytearray(1)
        try:
            decode_frame(bytes(content), *rest)
        except NotDecodable:
            refused += 1
print(refused, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(not DATA.exists(), reason="the corpus is not there")
def test_mutated_codestreams() -> None:
    """Damage of any kind is refused or decoded: it ends no process, raises nothing else and takes little memory."""
    found: dict[str, tuple[bytes, str, Image]] = {}
    for path in sorted(pixel_files(), key=lambda one: one.stat().st_size):
        one = stored(path.read_bytes())
        if one.syntax in CODECS and one.image.cells <= 2**20 and one.syntax not in found:
            found[one.syntax] = (one.frames[0], one.syntax, one.image)
    for syntax in COMPRESSED:
        for pixels in (drawn("u1", (40, 40), 8), drawn("u1", (30, 30, 3), 8)):
            found[f"{syntax} {pixels.ndim}"] = (frame_of(syntax, pixels), syntax, image(pixels))

    ended = subprocess.run(
        [sys.executable, "-c", MUTATIONS],
        input=pickle.dumps((list(found.values()), 40)),
        cwd=ROOT,
        capture_output=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr[-2000:]
    refused, megabytes = map(int, ended.stdout.split())
    assert refused > 200
    assert megabytes < 200


def test_names_of_corpus() -> None:
    """The corpus has frames of every family of codecs, so that the tests above mean something."""
    if not DATA.exists():
        pytest.skip("the corpus is not there")
    found = {stored(path.read_bytes()).syntax for path in pixel_files()}

    assert found >= {JPEG, syntaxes.JPEG_EXTENDED, J_LOSSLESS, J_LS, J2K, syntaxes.HTJ2K, syntaxes.RLE}
