"""`shared/dicom/header.py` on cut, broken and hostile files: a header or `UnreadableFile`, in bounded memory."""

import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from struct import pack

import orjson
import pytest

from shared.dicom.header import Header, HeaderReader, read_header
from shared.dicom.limits import MAX_ELEMENTS, MAX_VALUES
from shared.errors import UnreadableFile
from tests.unit.test_header import (
    EXPLICIT,
    META_BYTES,
    PATIENT_ID,
    UNDEFINED,
    explicit,
    implicit,
    item,
    part10,
    read_in_chunks,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

DATA = Path(__file__).parents[2].parent / "shared" / "data"
DEFLATED = "1.2.840.10008.1.2.1.99"
MIB = 1024 * 1024


def outcome(file: bytes, read: Callable[[bytes], Header]) -> Header | None:
    """The header, which JSON must be able to hold, or None for `UnreadableFile`; anything else fails the test."""
    try:
        header = read(file)
    except UnreadableFile:
        return None
    orjson.dumps(header.dataset)
    return header


VICTIMS = [
    "big-endian/ExplVR_BigEnd.dcm",
    "charset/chrH32.dcm",
    "charset/chrKoreanMulti.dcm",
    "deflated/image_dfl.dcm",
    "fragments",
    "private",
    "rt",
    "seg",
    "sr/reportsi.dcm",
    "sr/sr-arrow.dcm",
    "wsi",
]


def victims() -> list[Path]:
    """Small files of many kinds: one by name, or the smallest of a folder."""
    found = []
    for name in VICTIMS:
        path = DATA / "corpus" / name
        files = sorted(path.glob("*.dcm"), key=lambda file: (file.stat().st_size, file.name))
        found += files[:1] or [path] * path.is_file()
    return found


def damaged(file: bytes, chance: random.Random) -> bytes:
    """A file cut somewhere, or with some bytes of its header exchanged, left out, repeated or made a delimiter."""
    if chance.random() < 0.2:
        return file[: chance.randrange(len(file))]
    broken = bytearray(file)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(132, min(len(broken), 8000))
        length = chance.choice([0, 1, 4])
        marks = [
            bytes(4),
            b"\xff\xff\xff\xff",
            b"\xfe\xff\x00\xe0",
            b"\xfe\xff\x0d\xe0",
            b"\xfe\xff\xdd\xe0",
            b"UN\0\0",
        ]
        broken[at : at + length] = chance.choice([chance.randbytes(1), broken[at : at + 40], *marks])
    return bytes(broken)


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is absent")
@pytest.mark.parametrize("path", victims(), ids=lambda path: path.stem)
def test_damage(path: Path) -> None:
    """Whatever happened to a file, it gives a header or is unreadable, and the same in one piece and in many."""
    chance = random.Random(path.stem)  # noqa: S311 -- no secret
    file = path.read_bytes()
    for _ in range(150):
        broken = damaged(file, chance)
        size = chance.choice([97, 1000, 4096])

        assert outcome(broken, read_header) == outcome(broken, lambda data, n=size: read_in_chunks(data, n))  # type: ignore[misc]


CUTS = [
    ("prefix", part10(PATIENT_ID)[:131], "within its file meta information"),
    ("file meta", part10(PATIENT_ID)[:150], "within its file meta information"),
    ("value", part10(PATIENT_ID)[:-1], rf"\(0010,0020\) at byte {META_BYTES}: 10 bytes were expected"),
    ("open sequence", part10(explicit(0x00081115, b"SQ", item(), length=UNDEFINED)), r"\(0008,1115\).*its end"),
    (
        "bulk value",
        part10(explicit(0x60003000, b"OW", bytes(9), length=5000)),
        r"\(6000,3000\) at byte \d+: 5000 bytes",
    ),
]


@pytest.mark.parametrize(("file", "message"), [case[1:] for case in CUTS], ids=[case[0] for case in CUTS])
def test_cut_header(file: bytes, message: str) -> None:
    """A file that ends within its header is unreadable; the message says where, and what was expected."""
    with pytest.raises(UnreadableFile, match=message):
        read_header(file)


PIXELS = [
    ("native", explicit(0x7FE00010, b"OW", bytes(9), length=5000)),
    ("encapsulated", explicit(0x7FE00010, b"OB", item() + item(b"abc")[:-1], length=UNDEFINED)),
    ("no end", explicit(0x7FE00010, b"OB", item() + item(b"abcd"), length=UNDEFINED)),
    ("rubbish behind", explicit(0x7FE00010, b"OW", bytes(10)) + b"rubbish, not an element"),
    ("unknown VR behind", explicit(0x7FE00010, b"OW", bytes(10)) + explicit(0xFFFCFFFC, b"ZZ", b"")),
]


@pytest.mark.parametrize("pixels", [case[1] for case in PIXELS], ids=[case[0] for case in PIXELS])
@pytest.mark.parametrize("size", [1, 1000])
def test_cut_pixel_data(pixels: bytes, size: int) -> None:
    """Pixel data may be cut short, and anything may stand behind it: the header is there."""
    header = read_in_chunks(part10(PATIENT_ID, pixels), size)

    assert header.pixel_data is not None
    assert list(header.dataset) == ["00100020"]


@pytest.mark.parametrize("padding", [bytes(1), bytes(7), bytes(8), bytes(512)], ids=len)
def test_zeros_at_end(padding: bytes) -> None:
    """Zeros behind the last element are padding."""
    assert list(read_header(part10(PATIENT_ID) + padding).dataset) == ["00100020"]


NONSENSE = [
    ("VR", part10(explicit(0x00080050, b"SH", b"1 "), explicit(0x00100020, b"ZZ", b"A1")), r"\(0010,0020\).*VR"),
    ("item", part10(PATIENT_ID, item(PATIENT_ID)), "an item outside of a sequence"),
    ("not DICOM", b"GIF89a" * 100, "DICM was expected"),
    ("fragments", part10(explicit(0x60003000, b"OB", b"no fragment", length=UNDEFINED)), "a fragment"),
    ("open sequence", part10(explicit(0x00081115, b"SQ", PATIENT_ID, length=UNDEFINED)), "an item was expected"),
]


@pytest.mark.parametrize(("file", "message"), [case[1:] for case in NONSENSE], ids=[case[0] for case in NONSENSE])
def test_nonsense(file: bytes, message: str) -> None:
    """What is no data element is refused with its tag or position, and never quoted."""
    with pytest.raises(UnreadableFile, match=message) as raised:
        read_header(file)

    assert "A1" not in str(raised.value)


def test_tag_of_problem() -> None:
    """The tag is beside the problem, so that a Store report can name it in its own way (store.md, "Response")."""
    with pytest.raises(UnreadableFile) as raised:
        read_header(part10(PATIENT_ID)[:-1])

    end = META_BYTES + len(PATIENT_ID)
    assert raised.value.tag == "00100020"
    assert raised.value.problem == f"at byte {META_BYTES}: 10 bytes were expected; the file ends at byte {end - 1}"
    assert str(raised.value) == f"(0010,0020) {raised.value.problem}"


@pytest.mark.parametrize("is_open", [True, False], ids=["undefined", "defined"])
@pytest.mark.parametrize(("depth", "is_readable"), [(64, True), (65, False), (5000, False)])
def test_depth(depth: int, is_readable: bool, is_open: bool) -> None:
    """Sequences may be nested 64 deep, which JSON writers take, and no deeper."""
    nested = b""
    for _ in range(depth if not is_open else 0):
        nested = explicit(0x0040A730, b"SQ", item(nested))
    if is_open:
        begin = explicit(0x0040A730, b"SQ", implicit(0xFFFEE000, b"", length=UNDEFINED), length=UNDEFINED)
        nested = begin * depth + (implicit(0xFFFEE00D, b"") + implicit(0xFFFEE0DD, b"")) * depth

    assert (outcome(part10(nested), read_header) is not None) == is_readable


def peak(work: Callable[[], object]) -> int:
    """Bytes allocated at the worst moment of *work*."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


CLAIMS = [
    ("text", explicit(0x00340007, b"UT", b"abc", length=2**31)),
    ("bulk", explicit(0x60003000, b"OW", b"abc", length=2**31)),
    ("pixels", explicit(0x7FE00010, b"OW", b"abc", length=2**32 - 2)),
    ("sequence", explicit(0x00081115, b"SQ", item(PATIENT_ID), length=2**31)),
    ("item", explicit(0x00081115, b"SQ", implicit(0xFFFEE000, PATIENT_ID, length=2**31), length=UNDEFINED)),
    ("fragment", explicit(0x7FE00010, b"OB", implicit(0xFFFEE000, b"", length=2**31), length=UNDEFINED)),
    ("nested bulk", explicit(0x00081115, b"SQ", item(explicit(0x60003000, b"OW", b"", length=2**31)))),
]


@pytest.mark.parametrize("claim", [case[1] for case in CLAIMS], ids=[case[0] for case in CLAIMS])
def test_claimed_length(claim: bytes) -> None:
    """Memory is taken for what has arrived, never for what a length field claims."""
    file = part10(PATIENT_ID, claim)
    outcome(file, read_header)

    assert peak(lambda: outcome(file, read_header)) < MIB


def test_large_values_pass_by() -> None:
    """Bulk values are skipped while they arrive, native or in fragments; nothing of them is kept."""
    chunk = bytes(64 * 1024)
    overlay = explicit(0x60003000, b"OW", b"", length=len(chunk) * 256)
    pixels = explicit(0x7FE00010, b"OB", b"", length=UNDEFINED)
    reader = HeaderReader(max_header_bytes=MIB)

    def feed() -> None:
        reader.feed(part10(PATIENT_ID, overlay))
        for _ in range(256):
            reader.feed(chunk)
        reader.feed(pixels)
        for _ in range(256):
            reader.feed(implicit(0xFFFEE000, b"", length=len(chunk)) + chunk)
        reader.feed(implicit(0xFFFEE0DD, b"") + explicit(0xFFFCFFFC, b"OB", b""))

    assert peak(feed) < MIB
    assert list(reader.dataset) == ["00100020", "FFFCFFFC"]
    assert [value.path for value in reader.finish().bulk] == ["60003000", "7FE00010"]


OVER = [
    ("value", explicit(0x00340007, b"UT", bytes(2 * MIB))),
    ("open sequence", explicit(0x00081115, b"SQ", item(explicit(0x00340007, b"UT", bytes(2 * MIB))), length=UNDEFINED)),
    ("many", explicit(0x00100020, b"LO", bytes(60_000)) * 35),
    ("private file meta", explicit(0x00020102, b"OB", bytes(2 * MIB))),
]


@pytest.mark.parametrize("part", [case[1] for case in OVER], ids=[case[0] for case in OVER])
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "in chunks"])
def test_header_too_large(part: bytes, is_whole: bool) -> None:
    """A header over the bound is unreadable, as soon as that is clear."""
    file = part10(part) + bytes(64)
    reader = HeaderReader(max_header_bytes=MIB)
    size = len(file) if is_whole else 4096

    def feed() -> None:
        for start in range(0, len(file), size):
            reader.feed(file[start : start + size])

    with pytest.raises(UnreadableFile):
        feed()


def deflate(*pieces: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join([*map(deflater.compress, pieces), deflater.flush()])


ZEROS = [bytes(MIB)] * 64
BOMB = part10(deflate(PATIENT_ID, explicit(0x00340007, b"UT", b"", length=64 * MIB), *ZEROS), syntax=DEFLATED)
OVERLAY_BOMB = part10(deflate(explicit(0x60003000, b"OW", b"", length=64 * MIB), *ZEROS), syntax=DEFLATED)
PIXEL_BOMB = part10(
    deflate(PATIENT_ID, explicit(0x7FE00010, b"OW", b"", length=64 * MIB), *ZEROS, explicit(0xFFFCFFFC, b"OB", b"")),
    syntax=DEFLATED,
)


def test_deflated() -> None:
    """A deflated data set is read as if it were inflated in place (PS3.5 §A.5)."""
    body = PATIENT_ID + explicit(0x7FE00010, b"OW", b"12345678")
    header = read_in_chunks(part10(deflate(body), syntax=DEFLATED) + b"\0", 5)

    assert header.is_deflated
    assert header.dataset == read_header(part10(PATIENT_ID)).dataset
    assert header.pixel_data is not None
    assert header.pixel_data.offset == len(part10(syntax=DEFLATED)) + len(PATIENT_ID) + 12


def test_deflated_bomb() -> None:
    """A deflated data set is inflated up to the bound, in pieces: what comes first must be the header."""

    def read_bomb(bomb: bytes) -> None:
        with pytest.raises(UnreadableFile):
            read_header(bomb, max_header_bytes=8 * MIB)

    assert peak(lambda: read_bomb(BOMB)) < 2 * MIB
    assert peak(lambda: read_bomb(OVERLAY_BOMB)) < 2 * MIB
    assert peak(lambda: read_header(PIXEL_BOMB, max_header_bytes=8 * MIB)) < 2 * MIB
    assert list(read_header(PIXEL_BOMB, max_header_bytes=8 * MIB).dataset) == ["00100020"]


def test_deflated_ratio() -> None:
    """A deflated data set that grows far beyond what any text would is a bomb, however high the other bounds are."""
    with pytest.raises(UnreadableFile, match="bytes inflated"):
        read_header(OVERLAY_BOMB, max_header_bytes=2**40)


SHORT = explicit(0x00100020, b"LO", b"")

CROWDED = {
    "elements": b"".join(
        pack("<HH2sH", 0x0011 + 2 * (n >> 15), n & 0x7FFF, b"LO", 0) for n in range(MAX_ELEMENTS + 100)
    ),
    "items": explicit(0x00081115, b"SQ", item() * (MAX_ELEMENTS + 1)),
    "nested elements": explicit(0x00081115, b"SQ", item(SHORT) * (MAX_ELEMENTS // 2 + 1)),
    "values of a long text": explicit(0x00080120, b"UC", b"\\" * (MAX_VALUES // 8 + 1)),
    "values of many texts": b"".join(
        pack("<HH2sH", 0x3007 + 2 * (n >> 12), 0x1000 + (n & 0xFFF), b"DS", 60_000) + b"\\" * 60_000 for n in range(140)
    ),
    "numbers": implicit(0x00100020, b"P ") + implicit(0x00189089, bytes(MAX_VALUES + 80)),
}


@pytest.mark.parametrize("elements", CROWDED.values(), ids=CROWDED)
def test_crowded(elements: bytes) -> None:
    """A file of more elements, items or values than memory is for is refused by their number."""
    with pytest.raises(UnreadableFile, match="more than"):
        read_header(part10(elements))


def test_almost_crowded() -> None:
    """Half as much as is refused is read, also when a long sequence is begun again and again while it arrives."""
    sequence = explicit(0x00081115, b"SQ", item(SHORT) * (MAX_ELEMENTS // 4), length=UNDEFINED)
    file = part10(sequence, implicit(0xFFFEE0DD, b""))
    reader = HeaderReader()
    for start in range(0, len(file), 65_536):
        reader.feed(file[start : start + 65_536])

    assert len(reader.finish().dataset["00081115"]["Value"]) == MAX_ELEMENTS // 4


def test_deflated_cut() -> None:
    """A deflated data set that is cut within its header or damaged is unreadable; within pixel data it may be cut."""
    file = part10(deflate(PATIENT_ID, explicit(0x00080050, b"SH", b"1 ")), syntax=DEFLATED)

    assert outcome(file[:-3], read_header) is None
    assert outcome(file[:-20] + b"\xff" * 20, read_header) is None
    assert outcome(PIXEL_BOMB[:-100], read_header) is not None


@pytest.mark.parametrize("file", [b"", b"D", bytes(128), part10(syntax=EXPLICIT)[:140]], ids=len)
def test_nothing(file: bytes) -> None:
    """A few bytes are no file."""
    assert outcome(file, read_header) is None


def test_only_file_meta() -> None:
    """File meta information alone is a file with an empty data set."""
    assert read_header(part10()).dataset == {}


def test_little_at_end() -> None:
    """Less than an element's head behind the last element is a cut file."""
    assert outcome(part10(PATIENT_ID) + pack("<HH2s", 0x10, 0x30, b"DA"), read_header) is None
