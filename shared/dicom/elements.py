"""The value of one data element as DICOM JSON, by VR: the one place that turns bytes into `Value` (PS3.18 §F.2.3).

Padding goes where the VR calls it insignificant (PS3.5 §6.2). A trailing NUL is padding in UI alone; in other
text it stays, for the validator to judge and the client to see.
"""

from binascii import b2a_base64
from collections.abc import Callable, Mapping
from math import isfinite
from struct import Struct, unpack
from typing import Any, TypeAlias

from shared.dicom.charset import ESCAPE, Charset
from shared.dicom.names import GROUPS

Element: TypeAlias = dict[str, Any]
"""One attribute of the DICOM JSON Model."""

Dataset: TypeAlias = dict[str, Element]
"""Attributes by tag."""

Reader: TypeAlias = Callable[[bytes, int, int, Charset], Element]
"""Reads the non-empty value at [start, stop) of a window; `struct.error` when its length does not fit the VR."""

BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
"""VRs whose values are `InlineBinary` or bulk data."""

LONG = BINARY | {"SQ", "SV", "UC", "UR", "UT", "UV"}
"""VRs with a length of 32 bits in explicit VR (PS3.5 §7.1.2)."""

NUMBER_BYTES: Mapping[str, int] = {"US": 2, "SS": 2, "AT": 4, "FL": 4, "SL": 4, "UL": 4, "FD": 8, "SV": 8, "UV": 8}
"""Length of a value of the VRs that are binary numbers or tags."""

MAX_CHARACTERS: Mapping[str, int] = {"DS": 16, "IS": 12}
"""Length that a value of the text VRs written as numbers may have (PS3.5 Table 6.2-1)."""


def binary(vr: str, value: bytes) -> Element:
    """Return an element with its Value Field as base64 (PS3.18 §F.2.7)."""
    return {"vr": vr, "InlineBinary": b2a_base64(value, newline=False).decode("ascii")}


def _numbers(vr: str, code: str, order: str) -> Reader:
    one = Struct(order + code)
    size, unpack_one = one.size, one.unpack_from

    def read(window: bytes, start: int, stop: int, _charset: Charset) -> Element:
        length = stop - start
        if length == size:
            return {"vr": vr, "Value": list(unpack_one(window, start))}
        return {"vr": vr, "Value": list(unpack(f"{order}{length // size}{code}", window[start:stop]))}

    return read


def _floats(vr: str, code: str, order: str) -> Reader:
    """As numbers; what JSON has no number for is written as text: "NaN", "inf" or "-inf"."""
    read_numbers = _numbers(vr, code, order)

    def read(window: bytes, start: int, stop: int, charset: Charset) -> Element:
        element = read_numbers(window, start, stop, charset)
        if not all(map(isfinite, element["Value"])):
            names = {"nan": "NaN"}
            element["Value"] = [v if isfinite(v) else names.get(str(v), str(v)) for v in element["Value"]]
        return element

    return read


def _tags(order: str) -> Reader:
    def read(window: bytes, start: int, stop: int, _charset: Charset) -> Element:
        words = unpack(f"{order}{(stop - start) // 4 * 2}H", window[start:stop])
        pairs = zip(words[::2], words[1::2], strict=True)
        return {"vr": "AT", "Value": [f"{group:04X}{element:04X}" for group, element in pairs]}

    return read


def _unique_identifiers(window: bytes, start: int, stop: int, _charset: Charset) -> Element:
    text = window[start:stop].decode("latin-1")
    if "\\" in text:
        return {"vr": "UI", "Value": [value.rstrip("\0 ") or None for value in text.split("\\")]}
    text = text.rstrip("\0 ")
    return {"vr": "UI", "Value": [text]} if text else {"vr": "UI"}


def _codes(vr: str, trim: Callable[[str, str], str]) -> Reader:
    """Text of the default character repertoire, several values (PS3.5 §6.1.2.3)."""

    def read(window: bytes, start: int, stop: int, _charset: Charset) -> Element:
        text = window[start:stop].decode("latin-1")
        if "\\" in text:
            return {"vr": vr, "Value": [trim(value, " ") or None for value in text.split("\\")]}
        text = trim(text, " ")
        return {"vr": vr, "Value": [text]} if text else {"vr": vr}

    return read


def _texts(vr: str, trim: Callable[[str, str], str]) -> Reader:
    """Text of the data set's character set, several values."""

    def read(window: bytes, start: int, stop: int, charset: Charset) -> Element:
        raw = window[start:stop]
        # The short way of `Charset` again: calling it would take as long as the rest.
        text = raw.decode("ascii") if raw.isascii() and ESCAPE not in raw else charset.text(raw)
        if "\\" in text:
            return {"vr": vr, "Value": [trim(value, " ") or None for value in text.split("\\")]}
        text = trim(text, " ")
        return {"vr": vr, "Value": [text]} if text else {"vr": vr}

    return read


def _text(vr: str) -> Reader:
    """One text, in which a backslash is a character like any other."""

    def read(window: bytes, start: int, stop: int, charset: Charset) -> Element:
        text = charset.text(window[start:stop]).rstrip(" ")
        return {"vr": vr, "Value": [text]} if text else {"vr": vr}

    return read


def _locator(window: bytes, start: int, stop: int, _charset: Charset) -> Element:
    text = window[start:stop].decode("latin-1").rstrip(" ")
    return {"vr": "UR", "Value": [text]} if text else {"vr": "UR"}


def _person_names(window: bytes, start: int, stop: int, charset: Charset) -> Element:
    text = charset.name(window[start:stop])
    names = [_person_name(value.rstrip(" ")) for value in text.split("\\")]
    return {"vr": "PN", "Value": names} if names != [None] else {"vr": "PN"}


def _person_name(text: str) -> dict[str, str] | None:
    """Name the component groups (PS3.18 §F.2.2); what follows a third `=` stays with the third, to be found invalid."""
    if "=" not in text:
        return {"Alphabetic": text} if text else None
    groups = zip(GROUPS, text.split("=", 2), strict=False)
    return {name: group for name, group in groups if group} or None


def _numeric_texts(vr: str, parse: Callable[[str], int | float | str | None]) -> Reader:
    def read(window: bytes, start: int, stop: int, _charset: Charset) -> Element:
        text = window[start:stop].decode("latin-1")
        if "\\" in text:
            return {"vr": vr, "Value": [parse(value) for value in text.split("\\")]}
        value = parse(text)
        return {"vr": vr} if value is None else {"vr": vr, "Value": [value]}

    return read


_LEAST, _MOST = -(2**63), 2**64 - 1
"""The integers that a JSON writer takes."""


def _integer(text: str) -> int | str | None:
    """Return an IS as a number; as text when it is none, when it has a fraction or when JSON cannot hold it."""
    try:
        number = int(text)
    except ValueError:
        padded = text.strip(" \0")
        return _integer(padded) if padded and padded != text else text.strip(" ") if padded else None
    return number if _LEAST <= number <= _MOST and "_" not in text else text.strip(" ")


def _decimal(text: str) -> float | str | None:
    """Return a DS as a number; as text when it is none or not finite."""
    try:
        number = float(text)
    except ValueError:
        padded = text.strip(" \0")
        return _decimal(padded) if padded and padded != text else text.strip(" ") if padded else None
    return number if isfinite(number) and "_" not in text else text.strip(" ")


def _readers(order: str) -> dict[str, Reader]:
    return {
        **{vr: _numbers(vr, code, order) for vr, code in {"SL": "i", "SS": "h", "SV": "q"}.items()},
        **{vr: _numbers(vr, code, order) for vr, code in {"UL": "I", "US": "H", "UV": "Q"}.items()},
        "FL": _floats("FL", "f", order),
        "FD": _floats("FD", "d", order),
        "AT": _tags(order),
        "UI": _unique_identifiers,
        **{vr: _codes(vr, str.strip) for vr in ("AE", "CS")},
        **{vr: _codes(vr, str.rstrip) for vr in ("AS", "DA", "DT", "TM")},
        **{vr: _texts(vr, str.strip) for vr in ("LO", "SH")},
        "UC": _texts("UC", str.rstrip),
        **{vr: _text(vr) for vr in ("LT", "ST", "UT")},
        "UR": _locator,
        "PN": _person_names,
        "IS": _numeric_texts("IS", _integer),
        "DS": _numeric_texts("DS", _decimal),
    }


READERS: Mapping[str, Mapping[str, Reader]] = {"<": _readers("<"), ">": _readers(">")}
"""By byte order, then VR: all VRs but SQ and the binary ones."""
