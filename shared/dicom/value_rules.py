"""What a value of each VR must look like: characters, length and format (PS3.5 §6.1.3, §6.2).

Values are those of the DICOM JSON that `elements.py` makes, so what that does not show is not seen here: blanks
around a value, and how a number was written. Which characters a Specific Character Set has is not checked either,
beyond what could not be decoded.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypeAlias

from shared.dicom.names import GROUPS

Check: TypeAlias = Callable[[Sequence[Any]], str | None]
"""Takes the values of one attribute and returns what is wrong with the first bad one."""

Judge: TypeAlias = Callable[[str], str | None]
"""Takes one text without padding and returns what is wrong with it."""

_PADDING = " \0"
_UNLIMITED = 2**32 - 2
LONGEST: Mapping[str, int] = {
    "AE": 16, "CS": 16, "LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024, "UC": _UNLIMITED, "UI": 64,
    "UT": _UNLIMITED,
}  # fmt: skip
"""Characters that a value may have, or for PN a component group (PS3.5 Table 6.2-1)."""

_MAX_COMPONENTS = 5
"""Of each component group of a PN (PS3.5 §6.2.1)."""
_MAX_INTEGER = 2**31 - 1

_UNUSED = "\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f"
"""Control characters that mean nothing in DICOM; those of the C1 set do not."""
_NOT_IN_TEXT = re.compile(f"[{_UNUSED}]")
_NOT_IN_STRING = re.compile(f"[{_UNUSED}\t\n\f\r]")
_UNDECODED = "\ufffd"

_ASCII = "[ -~]"
_APPLICATION_ENTITY = r"[ -\[\]-~]"
_CODE_STRING = "[A-Z0-9 _]"
_NAME = r"[ -<>-\]_-~]*+(?:\^[ -<>-\]_-~]*+){0,4}"
_AGE = "[0-9]{3}[DWMY]"
_URI = r"[A-Za-z0-9_:/?#\[\]@!$&'()*+,;=%.~-]+"
_UID = r"(?:(?:0|[1-9][0-9]*+)\.)*+(?:0|[1-9][0-9]*+)"
_COMMON_DATE = "(?!0000)[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|1[0-9]|2[0-8])"
_DATE = re.compile("[0-9]{8}")
_TIME = r"(?:[01][0-9]|2[0-3])(?:[0-5][0-9](?:(?:[0-5][0-9]|60)(?:\.[0-9]{1,6})?)?)?"
_DATE_TIME = re.compile(rf"([0-9]{{4}})(?:([0-9]{{2}})(?:([0-9]{{2}})(?:{_TIME})?)?)?([+-][0-9]{{4}})?")
_OFFSET = re.compile(r"(?!-0000)-(?:0[0-9]|1[01])[0-5][0-9]|-1200|\+(?:0[0-9]|1[0-3])[0-5][0-9]|\+1400")

GOOD: Mapping[str, Callable[[str], object]] = {
    vr: re.compile(form).fullmatch
    for vr, form in {
        "AE": f"{_APPLICATION_ENTITY}{{0,{LONGEST['AE']}}}",
        "AS": _AGE,
        "CS": f"{_CODE_STRING}{{0,{LONGEST['CS']}}}",
        "DA": _COMMON_DATE,
        "DT": "[1-9][0-9]{3}",
        "TM": _TIME,
        "UI": rf"(?=.{{0,64}}\Z){_UID}",
        "UR": _URI,
        **{vr: f"{_ASCII}{{0,{LONGEST[vr]}}}" for vr in ("LO", "LT", "SH", "ST", "UC", "UT")},
    }.items()
}
"""By VR of text: matches values that are good beyond doubt, as nearly all are. `CHECKS` look at the others."""

_is_lenient_uid = re.compile(r"[0-9.]{0,63}[0-9]").fullmatch
_is_uid = re.compile(_UID).fullmatch
_is_common_date = re.compile(_COMMON_DATE).fullmatch
_is_time = re.compile(_TIME).fullmatch
_is_common_group = re.compile(rf"(?=.{{0,64}}\Z){_NAME}").fullmatch


def is_uid(text: str) -> bool:
    """Return whether *text* is 1 to 64 digits and dots that end in a digit (common.md, "UIDs").

    Departs from PS3.5 §9.1: leading zeros of a component and empty components are let through, as the reference does.
    """
    return _is_lenient_uid(text) is not None


def is_date(text: str) -> bool:
    """Return whether *text* is `yyyyMMdd` and a day of the calendar; `yyyy.MM.dd` of old files is none any more."""
    if _is_common_date(text):
        return True
    return _DATE.fullmatch(text) is not None and _is_day(text[:4], text[4:6], text[6:])


def is_time(text: str) -> bool:
    """Return whether *text* is `HH[mm[ss[.f{1,6}]]]`; the second 60 is a leap second."""
    return _is_time(text) is not None


def is_date_time(text: str, *, any_offset: bool = False) -> bool:
    """Return whether *text* is a DT: of a date and a time as much as is known, then perhaps an offset from UTC.

    Offsets go from -1200 to +1400, without -0000; *any_offset* lets any four digits through.
    """
    found = _DATE_TIME.fullmatch(text)
    if found is None or not _is_day(found[1], found[2] or "01", found[3] or "01"):
        return False
    return found[4] is None or any_offset or _OFFSET.fullmatch(found[4]) is not None


def string_problem(text: str, longest: int) -> str | None:
    """Return what keeps *text* from being an LO, or another string of one line, of at most *longest* characters."""
    if len(text) > longest:
        return too_long(text, longest)
    return "a control character" if _NOT_IN_STRING.search(text) else None


def group_problem(text: str) -> str | None:
    """Return what is wrong with a component group of a PN; the third also holds what the file has behind it."""
    if "=" in text:
        return f"more than {len(GROUPS)} component groups"
    components = text.count("^") + 1
    if components > _MAX_COMPONENTS:
        return f"{components} name components; at most {_MAX_COMPONENTS}"
    return string_problem(text, LONGEST["PN"])


def integer_problem(value: object) -> str | None:
    """Return what is wrong with an IS, of which the JSON leaves as text what is no integer."""
    if isinstance(value, int) and -_MAX_INTEGER - 1 <= value <= _MAX_INTEGER:
        return None
    return "no integer of 32 bits"


def too_long(text: str, longest: int) -> str:
    """Return what is wrong with a *text* of more than *longest* characters."""
    return f"{len(text)} characters; at most {longest}"


def _texts(vr: str, judge: Judge) -> Check:
    """Return a check of texts: those that are good beyond doubt pass, and any other is judged, its padding off."""
    is_good = GOOD[vr]

    def check(values: Sequence[Any]) -> str | None:
        for value in values:
            if value is not None and not is_good(value):
                problem = judge(value.rstrip(_PADDING))
                if problem:
                    return problem
        return None

    return check


def _string(vr: str) -> Check:
    """Return a check of text of one line in any character set."""
    return _texts(vr, lambda text: string_problem(text, LONGEST[vr]) or _undecoded(text))


def _text(vr: str) -> Check:
    """Return a check of text of several lines."""

    def judge(text: str) -> str | None:
        if len(text) > LONGEST[vr]:
            return too_long(text, LONGEST[vr])
        return "a control character" if _NOT_IN_TEXT.search(text) else _undecoded(text)

    return _texts(vr, judge)


def _code(vr: str, problem: str) -> Check:
    """Return a check of short texts of a part of the default repertoire (PS3.5 §6.1.2.1)."""
    is_good = GOOD[vr]

    def judge(text: str) -> str | None:
        if len(text) > LONGEST[vr]:
            return too_long(text, LONGEST[vr])
        return None if is_good(text) else problem

    return _texts(vr, judge)


def _form(vr: str, problem: str, is_valid: Callable[[str], object] | None = None) -> Check:
    """Return a check of texts that are good or pass *is_valid*; one of padding alone is empty, not wrong."""
    passes = is_valid or GOOD[vr]
    return _texts(vr, lambda text: None if not text or passes(text) else problem)


def _uid_problem(text: str) -> str | None:
    """Return what is wrong with a UI (PS3.5 §9.1)."""
    if not text or (len(text) <= LONGEST["UI"] and _is_uid(text)):
        return None
    if not is_uid(text):
        return "no UID of 1 to 64 digits and dots"
    return "a UID component with a leading zero" if all(text.split(".")) else "an empty UID component"


def _names(values: Sequence[Any]) -> str | None:
    for groups in values:
        if groups is None:
            continue
        last = next(reversed(groups))
        for name, text in groups.items():
            if not _is_common_group(text):
                group = text.rstrip(_PADDING) if name == last else text
                problem = group_problem(group) or _undecoded(group)
                if problem:
                    return problem
    return None


def _integers(values: Sequence[Any]) -> str | None:
    for value in values:
        if value is not None:
            problem = integer_problem(value)
            if problem:
                return problem
    return None


def _decimals(values: Sequence[Any]) -> str | None:
    """Check a DS, of which the JSON leaves as text what is no number."""
    return "no decimal number" if str in map(type, values) else None


def _undecoded(text: str) -> str | None:
    return "bytes that its character set has not" if _UNDECODED in text else None


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


CHECKS: Mapping[str, Check] = {
    "AE": _code("AE", "a character that is not ASCII text"),
    "AS": _form("AS", "no age of the form nnnD, W, M or Y"),
    "CS": _code("CS", "not only A-Z, 0-9, blank, underscore"),
    "DA": _form("DA", "no date of the form yyyyMMdd", is_date),
    "DS": _decimals,
    "DT": _form("DT", "no date and time yyyyMMddHHmmss.f", is_date_time),
    "IS": _integers,
    "LO": _string("LO"),
    "LT": _text("LT"),
    "PN": _names,
    "SH": _string("SH"),
    "ST": _text("ST"),
    "TM": _form("TM", "no time of the form HHmmss.f"),
    "UC": _string("UC"),
    "UI": _texts("UI", _uid_problem),
    "UR": _form("UR", "not only characters of a URI"),
    "UT": _text("UT"),
}
"""By VR. The others are numbers, bytes or items, which are good as they are.

NULs at the end of a value are no fault (store.md, "v2 full check").
"""
