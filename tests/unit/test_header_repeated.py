"""Items that are in a file several times, byte for byte: what is known of one must not be said of another."""

from struct import pack

import pytest

from shared.dicom.header import read_header
from tests.unit.test_header import IMPLICIT, JPEG, PATIENT_ID, UNDEFINED, explicit, implicit, item, part10, read

CODE = explicit(0x00080100, b"SH", b"T-1 ")
TEXT = item(explicit(0x00080104, b"LO", b"\xc3\x96"))
FRAGMENTS = implicit(0xFFFEE000, b"") + implicit(0xFFFEE000, b"1234") + implicit(0xFFFEE0DD, b"")


def test_same() -> None:
    """Each is there, in its place among others."""
    dataset = read(explicit(0x00081115, b"SQ", item(CODE) + item(PATIENT_ID) + item(CODE) + item() + item()))

    code, patient = {"00080100": {"vr": "SH", "Value": ["T-1"]}}, {"00100020": {"vr": "LO", "Value": ["A1"]}}
    assert dataset["00081115"]["Value"] == [code, patient, code, {}, {}]


def test_character_set() -> None:
    """The same bytes are another text where another character set holds, whichever is read first."""
    unicode = item(explicit(0x00080005, b"CS", b"ISO_IR 192"), explicit(0x00081115, b"SQ", TEXT))
    latin = item(explicit(0x00081115, b"SQ", TEXT))
    dataset = read(
        explicit(0x00080001, b"SQ", TEXT),
        explicit(0x00080005, b"CS", b"ISO_IR 126"),
        explicit(0x00081140, b"SQ", latin + unicode + latin + unicode),
    )

    texts = [one["00081115"]["Value"][0]["00080104"]["Value"] for one in dataset["00081140"]["Value"]]
    assert texts == [["Γ\x96"], ["Ö"], ["Γ\x96"], ["Ö"]]
    assert dataset["00080001"]["Value"][0]["00080104"]["Value"] == ["Ã\x96"]


def test_sign() -> None:
    """The Pixel Representation around each decides, not that around the first."""
    values = implicit(0x00081115, item(implicit(0x00280106, b"\xff\xff")))
    outer = [item(implicit(0x00280103, pack("<H", is_signed)), values) for is_signed in (1, 0, 1)]
    dataset = read(implicit(0x00081140, b"".join(outer)), syntax=IMPLICIT)

    found = [one["00081115"]["Value"][0]["00280106"]["Value"] for one in dataset["00081140"]["Value"]]
    assert found == [[-1], [65535], [-1]]


def test_faults() -> None:
    """What is wrong with an element is noted of each item that has it."""
    header = read_header(part10(explicit(0x00081115, b"SQ", item(explicit(0x00200013, b"IS", b"0" * 14)) * 2)))

    assert [fault.path for fault in header.faults] == ["00081115/1/00200013", "00081115/2/00200013"]


def test_bulk() -> None:
    """A bulk value of each item is one of its own."""
    icon = item(explicit(0x7FE00010, b"OB", FRAGMENTS, length=UNDEFINED))
    header = read_header(part10(explicit(0x00880200, b"SQ", icon * 2), syntax=JPEG))

    assert [value.path for value in header.bulk] == ["00880200/1/7FE00010", "00880200/2/7FE00010"]
    assert header.bulk[1].offset - header.bulk[0].offset == len(icon)


def test_early_end() -> None:
    """An item that a delimiter ends before its length does is no shorter the second time: what follows is read."""
    early = item(CODE, implicit(0xFFFEE00D, b""), item(PATIENT_ID))
    dataset = read(explicit(0x00081115, b"SQ", early * 2))

    assert [list(one) for one in dataset["00081115"]["Value"]] == [["00080100"], ["00100020"]] * 2


@pytest.mark.parametrize("count", [2, 1100])
def test_many(count: int) -> None:
    """More different items than are remembered are read as well, and again."""
    items = [item(explicit(0x00080100, b"SH", f"{number:04}".encode())) for number in range(count)]
    dataset = read(explicit(0x00081115, b"SQ", b"".join(items * 2)))

    assert [one["00080100"]["Value"] for one in dataset["00081115"]["Value"]] == [[f"{n:04}"] for n in range(count)] * 2
