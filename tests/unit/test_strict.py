"""The minimum rules (`shared/dicom/strict.py`; store.md, "Minimum rules")."""

from typing import Any

import pytest

from shared.dicom.strict import broken_rule


def element(vr: str, *values: Any) -> dict[str, Any]:
    if vr == "PN":
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        values = tuple(value and dict(zip(groups, value.split("=", 2), strict=False)) for value in values)
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("AE", 16 * "x"),
        ("AE", "ä"),
        ("AS", "018M"),
        ("AS", "????"),
        ("CS", 16 * "x"),
        ("DA", "20240229"),
        ("DT", "2007"),
        ("DT", "200708"),
        ("DT", "20070827111300.123456-0000"),
        ("TM", "10"),
        ("TM", "1011"),
        ("TM", "101112.1"),
        ("IS", 2147483647),
        ("IS", -2147483648),
        ("LO", 64 * "山"),
        ("LO", "\x1b$B;3ED\x1b(B"),
        ("LO", "a\ufffdb"),
        ("SH", 16 * "山"),
        ("SH", "a\tb"),
        ("PN", 64 * "x" + "=" + 64 * "山" + "=" + 64 * "や"),
        ("PN", "A^B^C^D^E"),
        ("UI", "01.02"),
        ("UI", "1..2"),
        ("US", 65535),
        ("FD", 1.5),
        ("UT", "any\0text"),
    ],
)
def test_kept(vr: str, value: Any) -> None:
    """What the table of the minimum rules allows passes, be it legal by PS3.5 or not."""
    assert broken_rule(element(vr, value), vr) is None


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("AE", 17 * "x"),
        ("AS", "18M"),
        ("AS", "0018M"),
        ("CS", 17 * "X"),
        ("DA", "20230229"),
        ("DA", "1994.11.05"),
        ("DA", "2024"),
        ("DT", "20070827111300.1234567"),
        ("DT", "200713"),
        ("DT", "2007+5"),
        ("TM", "1"),
        ("TM", "2400"),
        ("TM", "10:11"),
        ("TM", "101112.1234567"),
        ("IS", "1A"),
        ("IS", 2147483648),
        ("IS", -2147483649),
        ("LO", 65 * "x"),
        ("LO", "a\tb"),
        ("LO", "a\0b"),
        ("LO", "a\x7fb"),
        ("SH", 17 * "x"),
        ("PN", "a=b=c=d"),
        ("PN", 65 * "x"),
        ("PN", "a=" + 65 * "x"),
        ("PN", "A^B^C^D^E^F"),
        ("PN", "a\nb"),
        ("UI", "11|"),
        ("UI", "abc.123"),
        ("UI", 65 * "1"),
    ],
)
def test_broken(vr: str, value: Any) -> None:
    """What it does not allow is a fault."""
    assert broken_rule(element(vr, value), vr)


@pytest.mark.parametrize("vr", ["AE", "AS", "CS", "DA", "DT", "TM", "IS", "LO", "SH", "PN", "UI", "US", "FD"])
@pytest.mark.parametrize("values", [(), (None,), ("",), (None, "x")])
def test_empty(vr: str, values: tuple[Any, ...]) -> None:
    """What is empty passes."""
    assert broken_rule(element(vr, *values), vr) is None


def test_first_value() -> None:
    """Only the first value is looked at."""
    assert broken_rule(element("SH", "x", 17 * "x"), "SH") is None
    assert broken_rule(element("SH", 17 * "x", "x"), "SH")


@pytest.mark.parametrize("values", [(), (None,), ("1",)])
def test_other_vr(values: tuple[Any, ...]) -> None:
    """The VR must be the expected one, value or not."""
    assert broken_rule(element("LO", *values), "SH") == "the VR is LO; SH is expected"


@pytest.mark.parametrize(
    ("vr", "value"), [("LO", "abc"), ("SH", "abc"), ("CS", "CT"), ("AE", "X"), ("PN", "Doe"), ("PN", "A=B")]
)
def test_nul_at_end(vr: str, value: str) -> None:
    """A NUL at the end is a fault, unless NULs are trimmed; one within is a fault for those that forbid it anyway."""
    assert broken_rule(element(vr, f"{value}\0"), vr) == "a NUL at the end"
    assert broken_rule(element(vr, f"{value}\0\0"), vr, trims_nuls=True) is None
    assert broken_rule(element("LO", "a\0b\0"), "LO", trims_nuls=True) == "a control character"
