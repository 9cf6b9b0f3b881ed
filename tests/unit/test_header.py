"""`shared/dicom/header.py`: one pass over a Part 10 file, whole or while it arrives."""

from math import inf, nan
from pathlib import Path
from struct import pack
from typing import Any

import orjson
import pytest

from shared.dicom.header import BulkValue, Header, HeaderReader, read_header
from shared.errors import UnreadableFile

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FILES = sorted(path.relative_to(DATA).as_posix() for path in DATA.rglob("*.dcm"))

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
UNDEFINED = 0xFFFFFFFF
LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}


def explicit(tag: int, vr: bytes, value: bytes, *, length: int | None = None, order: str = "<") -> bytes:
    """One element of explicit VR (PS3.5 §7.1.2)."""
    size = len(value) if length is None else length
    form = f"{order}HH2sHL" if vr in LONG else f"{order}HH2sH"
    return pack(form, tag >> 16, tag & 0xFFFF, vr, *((0, size) if vr in LONG else (size,))) + value


def implicit(tag: int, value: bytes, *, length: int | None = None) -> bytes:
    """One element of implicit VR (PS3.5 §7.1.3); items and delimiters too."""
    return pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(*elements: bytes) -> bytes:
    return implicit(0xFFFEE000, b"".join(elements))


def part10(*elements: bytes, syntax: str = EXPLICIT) -> bytes:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    return bytes(128) + b"DICM" + explicit(0x00020010, b"UI", uid) + b"".join(elements)


META_BYTES = len(part10())

PATIENT_ID = explicit(0x00100020, b"LO", b"A1")
PIXELS = explicit(0x7FE00010, b"OW", b"12345678")


def read(*elements: bytes, syntax: str = EXPLICIT) -> dict[str, Any]:
    return read_header(part10(*elements, syntax=syntax)).dataset


def read_in_chunks(file: bytes, size: int) -> Header:
    reader = HeaderReader()
    for start in range(0, len(file), size):
        reader.feed(memoryview(file)[start : start + size])
    return reader.finish()


def name(*groups: str) -> dict[str, str]:
    kinds = zip(("Alphabetic", "Ideographic", "Phonetic"), groups, strict=False)
    return {kind: group for kind, group in kinds if group}


VALUES: list[tuple[str, int, bytes, bytes, dict[str, Any]]] = [
    ("empty", 0x00080050, b"SH", b"", {"vr": "SH"}),
    ("blank", 0x00080050, b"SH", b"    ", {"vr": "SH"}),
    ("both sides trimmed", 0x00100020, b"LO", b" A1 ", {"vr": "LO", "Value": ["A1"]}),
    ("leading blank of a text kept", 0x00104000, b"LT", b" a\\b ", {"vr": "LT", "Value": [" a\\b"]}),
    ("trailing NUL kept", 0x00100020, b"LO", b"A1\0\0", {"vr": "LO", "Value": ["A1\0\0"]}),
    ("padding NUL of a UID gone", 0x00080018, b"UI", b"1.2\0", {"vr": "UI", "Value": ["1.2"]}),
    ("empty among several", 0x00080008, b"CS", b"A\\\\B ", {"vr": "CS", "Value": ["A", None, "B"]}),
    ("URI", 0x00081190, b"UR", b"http://a\\b ", {"vr": "UR", "Value": ["http://a\\b"]}),
    ("IS", 0x00200013, b"IS", b" 7\\-3 ", {"vr": "IS", "Value": [7, -3]}),
    ("IS with NUL", 0x00200013, b"IS", b"7\0", {"vr": "IS", "Value": [7]}),
    ("IS that is none", 0x00200013, b"IS", b"1A", {"vr": "IS", "Value": ["1A"]}),
    ("IS with a fraction", 0x00200013, b"IS", b"1.50", {"vr": "IS", "Value": ["1.50"]}),
    ("IS as Python writes it", 0x00200013, b"IS", b"1_00", {"vr": "IS", "Value": ["1_00"]}),
    ("IS beyond JSON", 0x00200013, b"IS", b"9" * 20, {"vr": "IS", "Value": ["9" * 20]}),
    ("DS", 0x00281050, b"DS", b"1.5\\ \\-2e1 ", {"vr": "DS", "Value": [1.5, None, -20.0]}),
    ("DS not a number", 0x00281050, b"DS", b"NaN ", {"vr": "DS", "Value": ["NaN"]}),
    ("DS too large", 0x00281050, b"DS", b"1e999 ", {"vr": "DS", "Value": ["1e999"]}),
    ("US", 0x00280010, b"US", pack("<2H", 1, 65535), {"vr": "US", "Value": [1, 65535]}),
    ("US of odd length", 0x00280010, b"US", b"\1\2\3", {"vr": "UN", "InlineBinary": "AQID"}),
    ("UV", 0x00080041, b"UV", pack("<Q", 2**64 - 1), {"vr": "UV", "Value": [2**64 - 1]}),
    ("SV", 0x00080041, b"SV", pack("<q", -(2**63)), {"vr": "SV", "Value": [-(2**63)]}),
    ("FD", 0x00180088, b"FD", pack("<2d", 0.1, 2), {"vr": "FD", "Value": [0.1, 2.0]}),
    ("FD not finite", 0x00180088, b"FD", pack("<2d", nan, -inf), {"vr": "FD", "Value": ["NaN", "-inf"]}),
    ("AT", 0x00280009, b"AT", pack("<2H", 0x18, 0x1063), {"vr": "AT", "Value": ["00181063"]}),
    ("OB", 0x00282000, b"OB", b"\1\2\3\4", {"vr": "OB", "InlineBinary": "AQIDBA=="}),
    ("PN", 0x00100010, b"PN", b"A^B=C=D ", {"vr": "PN", "Value": [name("A^B", "C", "D")]}),
    ("PN of one group", 0x00100010, b"PN", b"=C\\\\A", {"vr": "PN", "Value": [name("", "C"), None, name("A")]}),
    ("PN of four groups", 0x00100010, b"PN", b"A=B=C=D ", {"vr": "PN", "Value": [name("A", "B", "C=D")]}),
    ("UN of a known tag", 0x00100020, b"UN", b"A1", {"vr": "LO", "Value": ["A1"]}),
    ("UN", 0x00110001, b"UN", b"A1", {"vr": "UN", "InlineBinary": "QTE="}),
    ("no items", 0x00081115, b"SQ", b"", {"vr": "SQ"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("tag", "vr", "value", "expected"), [case[1:] for case in VALUES], ids=[case[0] for case in VALUES]
)
def test_value(tag: int, vr: bytes, value: bytes, expected: dict[str, Any]) -> None:
    """A value is written as PS3.18 §F.2 asks, and always so that JSON can hold it."""
    dataset = read(explicit(tag, vr, value))

    assert dataset == {f"{tag:08X}": expected}
    assert orjson.loads(orjson.dumps(dataset)) == dataset


CHARSETS: list[tuple[str, bytes, bytes, str]] = [
    ("default is read as ISO 8859-1", b"", b"M\xfcller", "Müller"),
    ("UTF-8", b"ISO_IR 192", "Müller".encode(), "Müller"),
    ("misspelt", b"ISO IR 192", "Müller".encode(), "Müller"),
    ("unknown", b"ISO_IR 999", b"M\xfcller", "Müller"),
    ("a codec that no file may name", b"unicode_escape", b"\\ud800", "\\ud800"),
    ("undecodable", b"ISO_IR 192", b"M\xfcller", "M\ufffdller"),
    ("GB18030", b"GB18030", "王小东".encode("gb18030"), "王小东"),
    ("Japanese", b"\\ISO 2022 IR 87", b"a\x1b$B;3ED\x1b(Bb", "a山田b"),
    ("Korean", b"\\ISO 2022 IR 149", b"\x1b$)C\xb1\xe8", "김"),
    ("a delimiter ends the extension", b"ISO_IR 100\\ISO 2022 IR 126", b"\x1b-F\xf9^\xe4", "ω^ä"),
]


@pytest.mark.parametrize(
    ("terms", "name", "expected"), [case[1:] for case in CHARSETS], ids=[case[0] for case in CHARSETS]
)
def test_character_set(terms: bytes, name: bytes, expected: str) -> None:
    """Text is decoded by Specific Character Set (PS3.3 §C.12.1.1.2), and never fails to be."""
    dataset = read(explicit(0x00080005, b"CS", terms), explicit(0x00100010, b"PN", name))

    values = dataset["00100010"]["Value"]
    assert "\\".join(value["Alphabetic"] if value else "" for value in values) == expected


def test_character_set_of_item() -> None:
    """An item has the character set of what holds it, or its own until it ends (PS3.5 §7.5.3)."""
    own = item(explicit(0x00080005, b"CS", b"ISO_IR 192"), explicit(0x00080104, b"LO", "Ö".encode()))
    inherited = item(explicit(0x00080104, b"LO", b"\xd6"))
    dataset = read(
        explicit(0x00080005, b"CS", b"ISO_IR 100"),
        explicit(0x00081115, b"SQ", own + inherited),
        explicit(0x00100020, b"LO", b"\xd6"),
    )

    items = dataset["00081115"]["Value"]
    assert [each["00080104"]["Value"] for each in items] == [["Ö"], ["Ö"]]
    assert dataset["00100020"]["Value"] == ["Ö"]


NESTED = [
    item(PATIENT_ID),
    implicit(0xFFFEE000, PATIENT_ID, length=UNDEFINED) + implicit(0xFFFEE00D, b""),
    item(implicit(0x00100020, b"A1")),
]


@pytest.mark.parametrize("one", NESTED, ids=["defined", "undefined", "implicit"])
@pytest.mark.parametrize("vr", [b"SQ", b"UN"])
@pytest.mark.parametrize("is_open", [True, False], ids=["undefined", "defined"])
def test_sequence(one: bytes, vr: bytes, is_open: bool) -> None:
    """Sequences and items end by length or by delimiter; a UN may be one, its items implicit (PS3.5 §7.5, §6.2.2)."""
    end, length = (implicit(0xFFFEE0DD, b""), UNDEFINED) if is_open else (b"", 2 * len(one))
    file = part10(explicit(0x00081115, vr, one + one + end, length=length), PATIENT_ID)

    patient = {"00100020": {"vr": "LO", "Value": ["A1"]}}
    expected = {"00081115": {"vr": "SQ", "Value": [patient, patient]}, **patient}
    assert read_header(file).dataset == expected
    assert read_header(file).read_by == "pass"
    assert read_in_chunks(file, 1).dataset == expected


def test_group_length() -> None:
    """Group lengths are left out, and so is file meta information (PS3.18 §F.2.2)."""
    length = explicit(0x00100000, b"UL", pack("<L", 10))

    assert list(read(length, explicit(0x00081115, b"SQ", item(length)), PATIENT_ID)) == ["00081115", "00100020"]
    assert read(explicit(0x00081115, b"SQ", item(length)))["00081115"] == {"vr": "SQ", "Value": [{}]}


def test_order() -> None:
    """Attributes are in ascending order, whatever the file's (PS3.18 §F.2.2)."""
    assert list(read(PATIENT_ID, explicit(0x00080050, b"SH", b"1 "))) == ["00080050", "00100020"]


SIGNED = [
    (0, 65535, "US"),
    (1, -1, "SS"),
]


@pytest.mark.parametrize(("representation", "value", "vr"), SIGNED)
def test_ambiguous_sign(representation: int, value: int, vr: str) -> None:
    """In implicit VR "US or SS" follows Pixel Representation, even of a data set around and behind it."""
    smallest = implicit(0x00280106, b"\xff\xff")
    dataset = read(
        implicit(0x00081115, item(smallest)),
        implicit(0x00280103, pack("<H", representation)),
        smallest,
        syntax=IMPLICIT,
    )

    expected = {"vr": vr, "Value": [value]}
    assert dataset["00280106"] == expected
    assert dataset["00081115"]["Value"] == [{"00280106": expected}]


def test_ambiguous_sign_of_item() -> None:
    """The Pixel Representation nearest to a value counts."""
    inner = item(implicit(0x00280103, b"\1\0"), implicit(0x00280106, b"\xff\xff"))
    dataset = read(implicit(0x00081115, inner), implicit(0x00280103, b"\0\0"), syntax=IMPLICIT)

    assert dataset["00081115"]["Value"][0]["00280106"] == {"vr": "SS", "Value": [-1]}


IMPLICIT_VRS: list[tuple[str, list[bytes], dict[str, Any]]] = [
    ("dictionary", [implicit(0x00100020, b"A1")], {"vr": "LO", "Value": ["A1"]}),
    ("repeating group", [implicit(0x60020010, b"\1\0")], {"vr": "US", "Value": [1]}),
    ("overlay", [implicit(0x60023000, b"\1\0")], {"vr": "OW", "InlineBinary": "AQA="}),
    ("unknown", [implicit(0x00100001, b"A1")], {"vr": "UN", "InlineBinary": "QTE="}),
    ("table of one", [implicit(0x00283002, b"\1\0" * 3), implicit(0x00283006, b"\1\0")], {"vr": "US", "Value": [1]}),
    ("table", [implicit(0x00283002, b"\2\0" * 3), implicit(0x00283006, b"\1\2")], {"vr": "OW", "InlineBinary": "AQI="}),
    ("creator", [implicit(0x00090010, b"GEMS_IDEN_01")], {"vr": "LO", "Value": ["GEMS_IDEN_01"]}),
    ("private", [implicit(0x00090010, b"GEMS_IDEN_01"), implicit(0x00091001, b"A1")], {"vr": "LO", "Value": ["A1"]}),
    ("private of nobody", [implicit(0x00091001, b"A1")], {"vr": "UN", "InlineBinary": "QTE="}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("elements", "expected"), [case[1:] for case in IMPLICIT_VRS], ids=[case[0] for case in IMPLICIT_VRS]
)
def test_implicit_vr(elements: list[bytes], expected: dict[str, Any]) -> None:
    """Where the file gives no VR, the dictionaries and the data set do (PS3.5 §7.1.3, §7.8.1)."""
    assert list(read(*elements, syntax=IMPLICIT).values())[-1] == expected


def test_transfer_syntax_lies() -> None:
    """The first element shows whether VRs are explicit, whatever the transfer syntax says."""
    assert read(PATIENT_ID, syntax=IMPLICIT) == read(implicit(0x00100020, b"A1"), syntax=EXPLICIT) == read(PATIENT_ID)


def test_big_endian() -> None:
    """Explicit VR big endian is read by the pass as well (PS3.5 §A.3)."""
    rows = explicit(0x00280010, b"US", b"\0\5", order=">")
    sequence = explicit(0x00081115, b"SQ", pack(">HHL", 0xFFFE, 0xE000, len(rows)) + rows, order=">")

    expected = {"vr": "US", "Value": [5]}
    assert read(sequence, rows, syntax=BIG_ENDIAN) == {
        "00081115": {"vr": "SQ", "Value": [{"00280010": expected}]},
        "00280010": expected,
    }


@pytest.mark.parametrize(("size", "is_inline"), [(1024, True), (1026, False)])
def test_bulk(size: int, is_inline: bool) -> None:
    """A binary value over 1,024 bytes is not in the JSON; where it lies is noted, nested ones with their path."""
    data = explicit(0x54001010, b"OW", bytes(size))
    file = part10(explicit(0x54000100, b"SQ", item() + item(data)), explicit(0x60003000, b"OB", bytes(size)))

    header = read_header(file)

    assert ("60003000" in header.dataset) == is_inline
    assert ("54001010" in header.dataset["54000100"]["Value"][1]) == is_inline
    nested = BulkValue("54000100/2/54001010", "OW", META_BYTES + 12 + 8 + 8 + 12, size)
    top = BulkValue("60003000", "OB", len(file) - size, size)
    assert header.bulk == (() if is_inline else (nested, top))


def test_nested_once() -> None:
    """What an unfinished sequence has shown is noted once, though it is read again when more has arrived."""
    data = item(explicit(0x54001010, b"OW", bytes(2000)), explicit(0x00200013, b"IS", b"0000000000001"))
    sequence = explicit(0x54000100, b"SQ", data * 3 + implicit(0xFFFEE0DD, b""), length=UNDEFINED)
    header = read_in_chunks(part10(sequence), 100)

    assert [value.path for value in header.bulk] == [f"54000100/{number}/54001010" for number in (1, 2, 3)]
    assert [fault.path for fault in header.faults] == [f"54000100/{number}/00200013" for number in (1, 2, 3)]


def test_pixel_data() -> None:
    """Pixel data is bulk data however short; elements behind it are read."""
    header = read_header(part10(PATIENT_ID, PIXELS, explicit(0xFFFCFFFC, b"OB", b"\0\0")))

    assert header.pixel_data == BulkValue("7FE00010", "OW", META_BYTES + len(PATIENT_ID) + 12, 8)
    assert header.bulk == (header.pixel_data,)
    assert list(header.dataset) == ["00100020", "FFFCFFFC"]


FRAGMENTS = item() + item(b"a" * 3000) + item(b"b" * 10) + implicit(0xFFFEE0DD, b"")


@pytest.mark.parametrize("vr", [b"OB", b"UN"])
@pytest.mark.parametrize("size", [1, 7, 1000, 10000])
def test_encapsulated(size: int, vr: bytes) -> None:
    """Encapsulated pixel data is skipped fragment by fragment, whatever is in them (PS3.5 §A.4)."""
    pixels = explicit(0x7FE00010, vr, FRAGMENTS, length=UNDEFINED)

    header = read_in_chunks(part10(PATIENT_ID, pixels, explicit(0xFFFCFFFC, b"OB", b"\0\0"), syntax=JPEG), size)

    assert header.pixel_data == BulkValue("7FE00010", "OB", len(part10(syntax=JPEG)) + len(PATIENT_ID) + 12, None)
    assert list(header.dataset) == ["00100020", "FFFCFFFC"]


def test_encapsulated_icon() -> None:
    """Encapsulated pixel data of an item is bulk data with a path, and not the file's pixel data."""
    icon = item(explicit(0x7FE00010, b"OB", FRAGMENTS, length=UNDEFINED))
    header = read_header(part10(PATIENT_ID, explicit(0x00880200, b"SQ", icon), syntax=JPEG))

    assert [value.path for value in header.bulk] == ["00880200/1/7FE00010"]
    assert header.pixel_data is None
    assert list(header.dataset) == ["00100020", "00880200"]


def test_overlong() -> None:
    """A DS or IS longer than its VR allows is named, since the number does not show it."""
    count = explicit(0x00200013, b"IS", b"0000000000001")
    long = explicit(0x00281050, b"DS", b"1.00000000000000000")
    short = explicit(0x00281051, b"DS", b"1.5\\2.5\\3.5\\4.5\\5.5")
    hidden = explicit(0x00281053, b"UN", b"1.00000000000000000")
    header = read_header(part10(explicit(0x00081115, b"SQ", item(count)), long, short, hidden))

    assert [fault.path for fault in header.faults] == ["00081115/1/00200013", "00281050", "00281053"]


def test_unfit_length() -> None:
    """A value that is no whole number of its VR's values is named: the JSON shows a UN that the file does not have."""
    odd = explicit(0x00280010, b"US", b"\1\2\3")
    header = read_header(part10(explicit(0x00081115, b"SQ", item(odd)), odd))

    assert header.faults == (
        ("00081115/1/00280010", "3 bytes are no whole US values"),
        ("00280010", "3 bytes are no whole US values"),
    )


def test_file_meta_length() -> None:
    """The file meta group length is not believed; the group ends with its last element."""
    meta = explicit(0x00020000, b"UL", pack("<L", 7)) + explicit(0x00020010, b"UI", EXPLICIT.encode() + b"\0")

    assert read_header(bytes(128) + b"DICM" + meta + PATIENT_ID).dataset == read(PATIENT_ID)


@pytest.mark.parametrize("uid", [b"", b"1.2\r\nX: y", b"1.2.840.1\xc40008.1.2.1"])
def test_transfer_syntax_missing(uid: bytes) -> None:
    """A file without a transfer syntax that is a UID is not readable: nobody could be told what it holds."""
    file = bytes(128) + b"DICM" + explicit(0x00020010, b"UI", uid) + PATIENT_ID

    with pytest.raises(UnreadableFile, match="Transfer Syntax"):
        read_header(file)


def test_transfer_syntax_unknown() -> None:
    """Any other transfer syntax is explicit VR little endian."""
    header = read_header(part10(PATIENT_ID, syntax="1.2.3.4"))

    assert header.transfer_syntax == "1.2.3.4"
    assert header.dataset == read(PATIENT_ID)


def test_reading_while_arriving() -> None:
    """What has arrived can be used before the end has; what has been passed will not come any more."""
    file = part10(PATIENT_ID, explicit(0x00280010, b"US", b"\5\0"), explicit(0x7FE00010, b"OW", bytes(10**6)))
    reader = HeaderReader()

    assert not reader.has_passed("00100020")
    reader.feed(file[: META_BYTES + len(PATIENT_ID) + 9])
    assert reader.transfer_syntax == EXPLICIT
    assert reader.dataset == read(PATIENT_ID)
    assert reader.has_passed("00100020")
    assert not reader.has_passed("00280010")
    reader.feed(file[META_BYTES + len(PATIENT_ID) + 9 : 1000])
    assert reader.has_passed("7FE00010")
    assert reader.pixel_data is not None


def test_damaged_sequence_read_by_pydicom() -> None:
    """A sequence whose items do not fit is left to pydicom, and the header says why."""
    charset, name = explicit(0x00080005, b"CS", b"ISO_IR 192"), explicit(0x00100010, b"PN", "Müller ".encode())
    broken = explicit(0x00081115, b"SQ", implicit(0xFFFEE000, name, length=len(name) + 40))
    header = read_header(part10(charset, broken, explicit(0x00280010, b"US", b"\5\0")))

    assert header.read_by.startswith(f"pydicom; (0008,1115) at byte {META_BYTES + len(charset) + 12}")
    assert header.dataset["00081115"]["Value"] == [{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller"}]}}]
    assert header.dataset["00280010"]["Value"] == [5]


@pytest.mark.skipif(not FILES, reason="../shared/data is absent")
@pytest.mark.parametrize("name", FILES)
def test_chunks(name: str) -> None:
    """However a file arrives, its header is the same, or the same is wrong with it."""
    file = (DATA / name).read_bytes()
    sizes = [4096, len(file) // 2 + 1] + ([1, 7] if len(file) <= 20_000 else [])
    try:
        expected = read_header(file)
    except UnreadableFile:
        for size in sizes:
            with pytest.raises(UnreadableFile):
                read_in_chunks(file, size)
        return

    assert read_header(bytearray(file)) == expected
    assert [size for size in sizes if read_in_chunks(file, size) != expected] == []
