"""From an element to what the index stores of it, by VR; a query's values take the same way, so they meet."""

import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from unicodedata import normalize

from shared.dicom.names import GROUPS

LENGTHS: Mapping[str, int] = {
    "AE": 64, "AS": 8, "CS": 64, "DA": 8, "DT": 21, "LO": 192, "PN": 400, "SH": 64, "TM": 13, "UI": 64,
}  # fmt: skip
"""Characters that the index keeps of a text, by VR. Folding may lengthen a text, so most are wider than PS3.5 §6.2."""

WORD_LENGTH = 64
"""Characters that the index keeps of one word of a name."""

TIMES = frozenset({"DA", "DT", "TM"})
"""VRs whose index value is normalized DICOM text that sorts as the times do."""

NUMBERS = frozenset({"FD", "FL", "IS", "SL", "SS", "UL", "US"})
"""VRs whose index value is a number."""

_PADDING = " \0"
_INTEGER = re.compile(r"[+-]?\d{1,10}")
_UTC_OFFSET = re.compile(r"[+-]\d{4}$")
_TM = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DT = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?)?)?", re.ASCII)
_DA = re.compile(r"\d{8}", re.ASCII)


def index_value(element: Mapping[str, Any] | None, vr: str) -> str | float | None:
    """Return the index value of the first value of a DICOM JSON attribute (PS3.18 §F.2), read as *vr*.

    None when the attribute is absent, empty, or its first value is not one of the VR: such a value is not indexed,
    so nothing finds it.
    """
    values = element.get("Value") if element else None
    value = values[0] if values else None
    if value is None:
        return None
    if vr in NUMBERS:
        return number(value, vr)
    text = _name_text(value) if vr == "PN" and isinstance(value, Mapping) else value
    if not isinstance(text, str):
        return None
    if vr in TIMES:
        return earliest(_UTC_OFFSET.sub("", text.strip(_PADDING)) if vr == "DT" else text, vr)
    return cut(fold(text, vr), LENGTHS.get(vr, 64)) or None


def name_words(element: Mapping[str, Any] | None) -> list[tuple[int, str]]:
    """Return the folded words of a person name with their positions, from 0; `^` and `=` count as blanks."""
    folded = index_value(element, "PN")
    return words(folded) if isinstance(folded, str) else []


def words(folded_name: str) -> list[tuple[int, str]]:
    """Return the words of an already folded name with their positions."""
    return [
        (position, cut(word, WORD_LENGTH))
        for position, word in enumerate(folded_name.replace("^", " ").replace("=", " ").split())
    ]


def fold(value: str, vr: str) -> str:
    """Return *value* as it is compared: padding off, and no difference of case, nor for PN of accents.

    Leading blanks go too: a query's values are trimmed, so nothing could find them. In a PN, blanks around
    components and empty components and groups at the end go (PS3.5 §6.2.1.1). UI keeps its letters. NULs within a text
    become another character, since LIKE takes one for the end.
    """
    if vr == "UI":
        return value.strip(_PADDING)
    if value.isascii():
        text = value.lower()
    else:
        text = _without_accents(value) if vr == "PN" else normalize("NFC", value.casefold())
    text = _without_empty_ends(text) if vr == "PN" else text.strip(_PADDING)
    return text.replace("\0", "\ufffd") if "\0" in text else text


def cut(text: str, length: int) -> str:
    """Return at most *length* UTF-16 units of *text*: what `nvarchar(length)` takes."""
    if len(text) * 2 <= length or (len(text) <= length and text.isascii()):
        return text
    return text.encode("utf-16-le", "ignore")[: 2 * length].decode("utf-16-le", "ignore")


def number(value: object, vr: str) -> float | None:
    """Return the number that a JSON value or a text stands for; None when it is none of *vr* (PS3.5 §6.2)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if vr in {"FD", "FL"}:
        try:
            real = float(value)
        except ValueError:
            return None
        return real if math.isfinite(real) else None
    if isinstance(value, float):
        return None if not value.is_integer() else number(int(value), vr)
    text = str(value).strip(_PADDING)
    if not _INTEGER.fullmatch(text):
        return None
    whole = int(text)
    return whole if vr not in {"IS", "SL"} or -(2**31) <= whole < 2**31 else None


def earliest(value: str, vr: str) -> str | None:
    """Return the first moment that a DA, TM or DT value names, as normalized text; None when it is not of the VR.

    DA is `yyyyMMdd`; TM `HHmmss.FFFFFF`; DT both together. A value of less precision begins at its zeros:
    TM `10` is `100000.000000`. Colons of old times are left out (PS3.5 §6.2, Note 1 of TM).
    """
    return _moment(value, vr, missing=("01", "01", "00", "00", "00", "0"))


def latest(value: str, vr: str) -> str | None:
    """Return the last moment that a DA, TM or DT value names: TM `10` ends at `105959.999999`."""
    return _moment(value, vr, missing=("12", "31", "23", "59", "59", "9"))


def _name_text(groups: Mapping[str, Any]) -> str:
    return "=".join(str(groups.get(group) or "") for group in GROUPS).rstrip("=")


def _without_accents(text: str) -> str:
    """Take the Latin, Greek and Cyrillic accents off; marks that make another letter in other scripts stay."""
    letters = normalize("NFKD", normalize("NFKD", text).casefold())
    return normalize("NFC", "".join(char for char in letters if not "\u0300" <= char <= "\u036f"))


def _without_empty_ends(name: str) -> str:
    groups = ("^".join(part.strip(_PADDING) for part in group.split("^")).rstrip("^") for group in name.split("="))
    return "=".join(groups).rstrip("=")


def _moment(value: str, vr: str, *, missing: tuple[str, ...]) -> str | None:
    text = value.strip(_PADDING)
    if vr == "DA":
        return text if _DA.fullmatch(text) and _is_date(text[:4], text[4:6], text[6:]) else None
    if vr == "TM":
        found = _TM.fullmatch(text.replace(":", ""))
        return found and _clock(found.groups(), missing[2:])
    found = _DT.fullmatch(text)
    if not found or not _is_date(found[1], found[2] or "01", found[3] or "01"):
        return None
    clock = _clock(found.groups()[3:], missing[2:])
    return clock and f"{found[1]}{found[2] or missing[0]}{found[3] or missing[1]}{clock}"


def _clock(parts: tuple[str | None, ...], missing: tuple[str, ...]) -> str | None:
    hour, minute, second = (part or least for part, least in zip(parts[:3], missing[:3], strict=True))
    if hour > "23" or minute > "59" or second > "60":  # 60 is a leap second
        return None
    return f"{hour}{minute}{second}.{(parts[3] or '').ljust(6, missing[3])}"


def _is_date(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True
