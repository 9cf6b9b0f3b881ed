"""`shared/dicom/value_rules.py` against pydicom's validators, on made values; where they differ, PS3.5 decides.

Values go the way of a file's: as bytes through the reader of their VR.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings
from pydicom.valuerep import validate_value

from shared.dicom.charset import charset_of
from shared.dicom.elements import MAX_CHARACTERS, READERS
from shared.dicom.value_rules import CHECKS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

_RAISE = 2
_UNUSED = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
_CONTROLS = re.compile(r"[\x00-\x1a\x1c-\x1f\x7f-\x9f]")
_ASCII_ONLY = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_RANGE = re.compile(r"-.*|.*- ?|.+-[0-9]{4}[0-9.+-].*")
_OFFSET = re.compile(r".*([+-])([0-9]{2})([0-9]{2}) *")
_BLANKS = " \0\t\n\r\f\v"

Difference = Callable[[str], object]


def has_no_day(text: str) -> bool:
    """Return whether the date at the start of *text* is none of the calendar."""
    digits = re.match("[0-9]{4,8}", text)
    if not digits:
        return False
    try:
        datetime.strptime(f"{digits[0][:8]:0<4}" + "0101"[len(digits[0][:8]) - 4 :], "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return True
    return False


def has_no_offset(text: str) -> bool:
    """Return whether the offset from UTC at the end of *text* is none that the Earth has."""
    found = _OFFSET.fullmatch(text)
    if not found:
        return False
    minutes = int(found[2]) * 60 + int(found[3])
    return int(found[3]) > 59 or not (0 < minutes <= 720 if found[1] == "-" else minutes <= 840)


_FOR_QUERIES = ("ranges are for queries (PS3.4 §C.2.2.2.5)", lambda text: "-" in text)
_NO_CONTROLS = ("no control characters but ESC", _CONTROLS.search)
_NO_UNUSED = ("no control characters but TAB, LF, FF, CR, ESC (§6.1.3)", _UNUSED.search)

STRICTER: dict[str, list[tuple[str, Difference]]] = {
    "DA": [_FOR_QUERIES, ("a day of the Gregorian calendar", has_no_day)],
    "DT": [
        ("ranges are for queries (PS3.4 §C.2.2.2.5)", _RANGE.fullmatch),
        ("a day of the Gregorian calendar", has_no_day),
        ("offsets are -1200 to +1400, and not -0000", has_no_offset),
    ],
    "TM": [_FOR_QUERIES],
    "IS": [("32 bits", lambda text: abs(int(text)) >= 2**31)],
    "LO": [_NO_CONTROLS],
    "SH": [_NO_CONTROLS],
    "LT": [_NO_UNUSED],
    "ST": [_NO_UNUSED],
    "PN": [
        _NO_CONTROLS,
        ("at most five components (§6.2.1)", lambda text: any(group.count("^") > 4 for group in text.split("="))),
    ],
}
"""What pydicom takes and we do not, by VR."""

_NOT_SEEN = ("the JSON has the number: nothing blank around it is seen", lambda text: text != text.strip(_BLANKS))
_PADDED = ("padding is not seen", lambda text: text.endswith(" "))

LOOSER: dict[str, list[tuple[str, Difference]]] = {
    **{vr: [_NOT_SEEN] for vr in ("DS", "IS")},
    **{vr: [_PADDED] for vr in ("AS", "DA", "DT", "TM", "UI")},
}
"""What we take and pydicom does not, by VR, beside what is only longer for its padding."""


def ours(vr: str, text: str) -> bool:
    """Return whether a file's value is valid to us, its length included (the header pass sees that of numbers)."""
    raw = text.encode("latin-1" if vr in _ASCII_ONLY else "utf-8")
    element = READERS["<"][vr](raw, 0, len(raw), charset_of(("ISO_IR 192",)))
    is_short = vr not in MAX_CHARACTERS or len(text.strip(" ")) <= MAX_CHARACTERS[vr]
    return is_short and CHECKS[vr](element.get("Value", ())) is None


def theirs(vr: str, text: str) -> bool:
    try:
        validate_value(vr, text, _RAISE)
    except ValueError:
        return False
    return True


def check(vr: str, text: str) -> None:
    """Fail when the two differ for no reason in the lists."""
    is_ours, is_theirs = ours(vr, text), theirs(vr, text)
    if is_ours and not is_theirs:
        without_padding = text.strip(" ").rstrip(" \0")
        assert (
            not without_padding
            or theirs(vr, without_padding)
            or theirs(vr, text.rstrip(" \0"))
            or any(applies(text) for _, applies in LOOSER.get(vr, []))
        ), "we take what pydicom does not"
    if is_theirs and not is_ours:
        assert any(applies(text) for _, applies in STRICTER.get(vr, [])), "pydicom takes what we do not"


DIGITS = "0123456789"
ALPHABETS = {
    "AE": "Ab1_ ~\t\x1b\0ä",
    "AS": "0189DWMYd \0",
    "CS": "AZ09_ a-\0",
    "DA": "0123489. -\0",
    "DS": DIGITS + "+-.eE _,nai\n\0",
    "DT": "0123569.+- \0",
    "IS": DIGITS + "+-. _A\n\0",
    "LO": "Aä山 \t\n\0\x1b\x7f\x85",
    "LT": "Aä山 \t\n\x0b\0\x1b\\",
    "PN": "Aä山^= \t\n\0",
    "SH": "Aä山 \t\n\0",
    "ST": "Aä山 \t\n\x0b\0\\",
    "TM": "0123569.: -\0",
    "UI": "0129. a\0",
    "UR": "ab/:?#%[]@ \\\0ä",
}
FORMS = {
    "AS": r"[0-9]{3}[DWMY] ?",
    "DA": r"(19|20|00)[0-9]{2}[01][0-9][0-3][0-9]( |-)?",
    "DS": r" ?[+-]?[0-9]{0,9}\.?[0-9]{0,9}([eE][+-]?[0-9]{1,2})? ?",
    "DT": (
        r"20[0-9]{2}([01][0-9]([0-3][0-9]([0-2][0-9]([0-6][0-9]([0-6][0-9](\.[0-9]{1,7})?)?)?)?)?)?"
        r"([+-][01][0-9][0-6]0)?"
    ),
    "IS": r" ?[+-]?[0-9]{1,12} ?",
    "PN": r"[A-Cä山]{0,9}(\^[A-C]{0,3}){0,6}(=[A-Cä山]{0,66}(\^[A-C]{0,3}){0,5}){0,4}",
    "TM": r"[0-2][0-9]([0-6][0-9]([0-6][0-9](\.[0-9]{1,7})?)?)?( |-)?",
    "UI": r"[0-2](\.[0-9]{1,20}){0,5}",
}


def values(vr: str) -> st.SearchStrategy[str]:
    """Return texts of right and wrong characters, some nearly of the VR's form, some about as long as it may be."""
    free = st.text(ALPHABETS[vr], max_size=20)
    lengths = st.sampled_from([12, 16, 17, 64, 65, 1024, 1025, 10241])
    long = st.builds(str.__mul__, st.sampled_from(ALPHABETS[vr]), lengths)
    near = st.from_regex(FORMS[vr], fullmatch=True) if vr in FORMS else free
    texts = free | near | long | st.builds(str.__add__, near, st.sampled_from(["\0", " ", "\n", " \0"]))
    # Several values, and what reads as none, are another matter.
    return texts.filter(lambda text: vr in {"LT", "ST"} or "\\" not in text)


@pytest.mark.parametrize("vr", sorted(ALPHABETS))
def test_value(vr: str) -> None:
    """A value is valid when pydicom says so, but for the differences that are listed."""

    @settings(max_examples=75, deadline=None, database=None, derandomize=True)
    @given(values(vr))
    @example("")
    def compare(text: str) -> None:
        check(vr, text)

    compare()


@pytest.mark.parametrize(
    ("vr", "text"),
    [
        ("DA", "20240101-20240102"),
        ("DA", "20230231"),
        ("DT", "2023-1300"),
        ("DT", "20230231"),
        ("TM", "10-11"),
        ("IS", "2147483648"),
        ("LO", "a\tb"),
        ("SH", "a\x85"),
        ("LT", "a\x0bb"),
        ("ST", "a\x7f"),
        ("PN", "a\nb"),
        ("PN", "A^B^C^D^E^F"),
    ],
)
def test_stricter(vr: str, text: str) -> None:
    """Each listed difference exists: pydicom takes these."""
    assert theirs(vr, text)
    assert not ours(vr, text)
    assert any(applies(text) for _, applies in STRICTER[vr])


@pytest.mark.parametrize(
    ("vr", "text"),
    [
        ("DS", "\n1"),
        ("IS", "1\n"),
        ("DA", "20240101 "),
        ("TM", "10 "),
        ("AS", "018M "),
        ("UI", "1.2 "),
        ("DT", "2024 "),
    ],
)
def test_looser(vr: str, text: str) -> None:
    """And pydicom does not take these."""
    assert ours(vr, text)
    assert not theirs(vr, text)
    assert any(applies(text) for _, applies in LOOSER[vr])
