"""What a value of each VR must look like (`shared/dicom/value_rules.py`; PS3.5 §6.1.3, §6.2)."""

import pytest

from shared.dicom.charset import charset_of
from shared.dicom.elements import READERS
from shared.dicom.value_rules import CHECKS, is_date, is_date_time, is_time, is_uid

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

_LONGEST_PROBLEM = 38
"""What an Error Comment has room for behind the tag (store.md, "Response")."""


def problem_of(vr: str, text: str) -> str | None:
    """Return what is wrong with a value that a file has in UTF-8."""
    raw = text.encode("utf-8") if vr in {"LO", "LT", "PN", "SH", "ST", "UC", "UT"} else text.encode("latin-1")
    element = READERS["<"][vr](raw, 0, len(raw), charset_of(("ISO_IR 192",)))
    return CHECKS[vr](element.get("Value", ()))


@pytest.mark.parametrize(
    ("vr", "text"),
    [
        ("AE", "STORE_SCP 1"),
        ("AE", "a@b.c~!"),
        ("AE", " " + 16 * "x" + " "),
        ("AS", "018M"),
        ("AS", "000D"),
        ("AS", "999Y"),
        ("AS", "012W"),
        ("CS", "ISO_IR 192"),
        ("CS", "\\ISO 2022 IR 87"),
        ("CS", 16 * "A" + "  "),
        ("DA", "20240229"),
        ("DA", "20000229"),
        ("DA", "00010101"),
        ("DA", "20231231 "),
        ("DS", "-1.5E-05"),
        ("DS", ".5\\5.\\+5"),
        ("DS", " 12 "),
        ("DT", "2007"),
        ("DT", "2007-0500"),
        ("DT", "200708"),
        ("DT", "20240229"),
        ("DT", "2024022923"),
        ("DT", "202402292359"),
        ("DT", "20161231235960.999999+1400"),
        ("DT", "20161231235959.9-1200"),
        ("DT", "20161231+0000"),
        ("IS", "2147483647"),
        ("IS", "-2147483648"),
        ("IS", " +5 "),
        ("LO", 64 * "x"),
        ("LO", 64 * "山"),
        ("LO", "Größe ½ ÷ € ‰"),
        ("LO", "\u00a0no-break"),
        ("LO", "\x1b$B;3ED\x1b(B"),
        ("LT", "one\r\ntwo\ttabbed\fnext page \\ backslash"),
        ("LT", 10240 * "x"),
        ("PN", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("PN", "A^B^C^D^E"),
        ("PN", "=山田"),
        ("PN", "==" + 64 * "や"),
        ("PN", 64 * "x" + "=" + 64 * "山" + "=" + 64 * "や"),
        ("PN", "Doe^John\\Roe^Jane"),
        ("PN", "\\Doe"),
        ("SH", 16 * "山"),
        ("ST", 1024 * "x"),
        ("ST", "a\nb"),
        ("TM", "23"),
        ("TM", "0000"),
        ("TM", "235960"),
        ("TM", "101010.1"),
        ("TM", "101010.123456 "),
        ("UC", 500 * "x"),
        ("UI", "1.2.840.10008.1.2"),
        ("UI", "0.0"),
        ("UI", "2.25.329800735698586629295641978511506172918"),
        ("UI", "1." + 62 * "2"),
        ("UI", "1.2\0"),
        ("UR", "https://h/a%20b?c=d&e=[f]#g"),
        ("UR", "https://h/a  "),
        ("UT", 20000 * "x"),
        ("UT", "a\r\nb\x1b$B"),
    ],
)
def test_legal(vr: str, text: str) -> None:
    """What PS3.5 allows passes."""
    assert problem_of(vr, text) is None


ILLEGAL = [
    ("AE", 17 * "x", "17 characters; at most 16"),
    ("AE", "a\tb", "a character that is not ASCII text"),
    ("AE", "a\x1bb", "a character that is not ASCII text"),
    ("AE", "ä", "a character that is not ASCII text"),
    ("AS", "18M", "no age of the form nnnD, W, M or Y"),
    ("AS", "018m", "no age of the form nnnD, W, M or Y"),
    ("AS", "0018M", "no age of the form nnnD, W, M or Y"),
    ("AS", "018", "no age of the form nnnD, W, M or Y"),
    ("CS", "lower", "not only A-Z, 0-9, blank, underscore"),
    ("CS", "ISO-IR 100", "not only A-Z, 0-9, blank, underscore"),
    ("CS", "A\\\\b", "not only A-Z, 0-9, blank, underscore"),
    ("CS", "Ä", "not only A-Z, 0-9, blank, underscore"),
    ("CS", "A\0B", "not only A-Z, 0-9, blank, underscore"),
    ("CS", 17 * "A", "17 characters; at most 16"),
    ("DA", "1994.11.05", "no date of the form yyyyMMdd"),
    ("DA", "20230229", "no date of the form yyyyMMdd"),
    ("DA", "19000229", "no date of the form yyyyMMdd"),
    ("DA", "20240431", "no date of the form yyyyMMdd"),
    ("DA", "20241301", "no date of the form yyyyMMdd"),
    ("DA", "20240100", "no date of the form yyyyMMdd"),
    ("DA", "20240132", "no date of the form yyyyMMdd"),
    ("DA", "00000000", "no date of the form yyyyMMdd"),
    ("DA", "00000101", "no date of the form yyyyMMdd"),
    ("DA", "2024010", "no date of the form yyyyMMdd"),
    ("DA", "202401011", "no date of the form yyyyMMdd"),
    ("DA", " 20240101", "no date of the form yyyyMMdd"),
    ("DA", "20240101-20240102", "no date of the form yyyyMMdd"),
    ("DA", "20240101-", "no date of the form yyyyMMdd"),
    ("DA", "2024\0101", "no date of the form yyyyMMdd"),
    ("DS", "1,5", "no decimal number"),
    ("DS", "1\\x", "no decimal number"),
    ("DS", "nan", "no decimal number"),
    ("DS", "inf", "no decimal number"),
    ("DS", "1_0", "no decimal number"),
    ("DS", "1 0", "no decimal number"),
    ("DT", "207", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "200713", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "20230229", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "2023022824", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "20230228235961", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "20230228235959.", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "20230228235959.1234567", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "2023-1201", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "2023+1401", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "2023+0160", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "2023-0000", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "2023+01", "no date and time yyyyMMddHHmmss.f"),
    ("DT", "0000", "no date and time yyyyMMddHHmmss.f"),
    ("IS", "2147483648", "no integer of 32 bits"),
    ("IS", "-2147483649", "no integer of 32 bits"),
    ("IS", "99999999999999999999", "no integer of 32 bits"),
    ("IS", "1.0", "no integer of 32 bits"),
    ("IS", "1A", "no integer of 32 bits"),
    ("IS", "1\\x", "no integer of 32 bits"),
    ("LO", 65 * "x", "65 characters; at most 64"),
    ("LO", 65 * "山", "65 characters; at most 64"),
    ("LO", "a\r\nb", "a control character"),
    ("LO", "a\tb", "a control character"),
    ("LO", "a\0b", "a control character"),
    ("LO", "a\x7f", "a control character"),
    ("LO", "a\x85b", "a control character"),
    ("LO", "a\ufffdb", "bytes that its character set has not"),
    ("LT", 10241 * "x", "10241 characters; at most 10240"),
    ("LT", "a\x0bb", "a control character"),
    ("LT", "a\0b", "a control character"),
    ("LT", "a\ufffdb", "bytes that its character set has not"),
    ("PN", 65 * "x", "65 characters; at most 64"),
    ("PN", "x=" + 65 * "山", "65 characters; at most 64"),
    ("PN", "A^B^C^D^E^F", "6 name components; at most 5"),
    ("PN", "x=A^B^C^D^E^F", "6 name components; at most 5"),
    ("PN", "a=b=c=d", "more than 3 component groups"),
    ("PN", "a=b=c=", "more than 3 component groups"),
    ("PN", "a\nb", "a control character"),
    ("PN", "a\tb", "a control character"),
    ("PN", "a\0=b", "a control character"),
    ("PN", "Doe\\" + 65 * "x", "65 characters; at most 64"),
    ("PN", "D\ufffd", "bytes that its character set has not"),
    ("SH", 17 * "x", "17 characters; at most 16"),
    ("SH", "a\x01", "a control character"),
    ("ST", 1025 * "x", "1025 characters; at most 1024"),
    ("ST", "a\x01", "a control character"),
    ("TM", "24", "no time of the form HHmmss.f"),
    ("TM", "2360", "no time of the form HHmmss.f"),
    ("TM", "235961", "no time of the form HHmmss.f"),
    ("TM", "10:10:10", "no time of the form HHmmss.f"),
    ("TM", "1010.5", "no time of the form HHmmss.f"),
    ("TM", "101010.", "no time of the form HHmmss.f"),
    ("TM", "101010.1234567", "no time of the form HHmmss.f"),
    ("TM", " 10", "no time of the form HHmmss.f"),
    ("TM", "101", "no time of the form HHmmss.f"),
    ("TM", "10-11", "no time of the form HHmmss.f"),
    ("UC", "a\nb", "a control character"),
    ("UI", "1.02.3", "a UID component with a leading zero"),
    ("UI", "01", "a UID component with a leading zero"),
    ("UI", "1..2", "an empty UID component"),
    ("UI", ".1", "an empty UID component"),
    ("UI", "1.", "no UID of 1 to 64 digits and dots"),
    ("UI", "1.a", "no UID of 1 to 64 digits and dots"),
    ("UI", " 1.2", "no UID of 1 to 64 digits and dots"),
    ("UI", "1." + 63 * "2", "no UID of 1 to 64 digits and dots"),
    ("UR", " https://h", "not only characters of a URI"),
    ("UR", "https://h/a b", "not only characters of a URI"),
    ("UR", "https://h/ä", "not only characters of a URI"),
    ("UR", "https://h\\a", "not only characters of a URI"),
    ("UT", "a\x01", "a control character"),
]


@pytest.mark.parametrize(("vr", "text", "problem"), ILLEGAL)
def test_illegal(vr: str, text: str, problem: str) -> None:
    """What PS3.5 does not allow is named by what was found or expected."""
    assert problem_of(vr, text) == problem


@pytest.mark.parametrize(("vr", "text", "problem"), ILLEGAL)
def test_problem_text(vr: str, text: str, problem: str) -> None:
    """A problem fits into an Error Comment and never quotes the value (store.md, "Response"; style.md, "Errors")."""
    assert len(problem) <= _LONGEST_PROBLEM
    assert len(text) < len("1.02") or text not in problem, vr


@pytest.mark.parametrize(
    ("vr", "text"),
    [
        ("AE", "ANY"),
        ("AE", 16 * "x"),
        ("AS", "018M"),
        ("CS", "CT"),
        ("CS", 16 * "A"),
        ("DA", "20240101"),
        ("DT", "2007"),
        ("LO", 64 * "x"),
        ("LT", "a"),
        ("PN", "Doe^John"),
        ("PN", "A=" + 64 * "x"),
        ("SH", 16 * "x"),
        ("ST", "a"),
        ("TM", "10"),
        ("UC", "a"),
        ("UR", "http://h"),
        ("UT", "a"),
    ],
)
@pytest.mark.parametrize("nuls", ["\0", "\0\0", " \0"])
def test_nuls_at_end(vr: str, text: str, nuls: str) -> None:
    """A value that is invalid only for NULs at its end is valid (store.md, "v2 full check")."""
    assert problem_of(vr, text + nuls) is None


@pytest.mark.parametrize("vr", sorted(CHECKS))
@pytest.mark.parametrize("text", ["", "\0", "\0\0"])
def test_empty(vr: str, text: str) -> None:
    """What is empty, or NULs alone, breaks no rule of its VR."""
    assert problem_of(vr, text) is None


@pytest.mark.parametrize("vr", ["AE", "CS", "DA", "DS", "IS", "LO", "PN", "SH", "TM", "UI"])
def test_empty_among_values(vr: str) -> None:
    """An empty value among several breaks none either (PS3.5 §6.4)."""
    assert CHECKS[vr]([None, None]) is None


@pytest.mark.parametrize("vr", ["AT", "FD", "FL", "OB", "SL", "SQ", "SS", "SV", "UL", "UN", "US", "UV"])
def test_numbers(vr: str) -> None:
    """Numbers, bytes and items have no rule: any are good."""
    assert vr not in CHECKS


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "0",
        "1.2.840.10008.1.2",
        "1." + "2" * 62,
        "01.02",
        "1..2",
        ".1",
        "2.25.329800735698586629295641978511506172918",
    ],
)
def test_uid(text: str) -> None:
    """A UID is 1 to 64 digits and dots that end in a digit; odd components are let through (common.md, "UIDs")."""
    assert is_uid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        "1." + "2" * 63,
        "abc.123",
        "11|",
        "1-2",
        "1.2 ",
        " 1.2",
        "1.2\0",
        "1.2\n",
        "1,2",
        "\u0661.\u0662",
        "1.2²",
        "*",
    ],
)
def test_not_uid(text: str) -> None:
    """Anything else is none: letters, blanks, line ends, digits of other scripts, more than 64 characters."""
    assert not is_uid(text)


@pytest.mark.parametrize(
    "digits", ["\uff12\uff10\uff12\uff14", "20240101\n", "\u0662\u0660\u0662\u0664\u0660\u0661\u0660\u0661"]
)
def test_digits(digits: str) -> None:
    """Dates and times are of ASCII digits, without a line end behind them."""
    assert not is_date(digits)
    assert not is_time(digits[:2] + "\n")
    assert not is_date_time(digits)


def test_any_offset() -> None:
    """Of the offset of a DT, the minimum rules ask four digits."""
    assert is_date_time("2023-0000", any_offset=True)
    assert not is_date_time("2023-00000", any_offset=True)
