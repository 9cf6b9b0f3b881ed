"""The value of one DICOM JSON attribute as the bytes of its Value Field, by VR: the reverse of `elements.py`.

Little endian, text in UTF-8 (PS3.5 §6.2, PS3.18 §F.2.3).
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from math import isfinite
from struct import error as StructError  # noqa: N812 - as walk.py names it
from struct import pack
from typing import Any, TypeAlias

from shared.dicom.elements import MAX_CHARACTERS
from shared.dicom.names import GROUPS

Encoder: TypeAlias = Callable[[list[Any]], bytes]
"""Writes the list of an attribute's values, at least one, without padding."""

CHARACTER_SET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs whose text is in the character set of the data set (PS3.5 §6.1.2.3)."""


class Unwritable(Exception):
    """A value that its VR cannot hold; names the kind of what was found, never the value. Stays in this layer."""


def binary(text: object) -> bytes:
    """Return the bytes of an `InlineBinary`, which some clients wrap in a list (PS3.18 §F.2.7)."""
    if isinstance(text, list) and len(text) == 1:
        text = text[0]
    if not isinstance(text, str):
        raise Unwritable("InlineBinary is no text")
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise Unwritable("InlineBinary is no base64") from error


def _kind(value: object) -> str:
    """Return what JSON calls *value*: all that may be said of it."""
    names: dict[type, str] = {str: "text", bool: "true or false", dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), "number")


def _bytes(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeError as error:
        raise Unwritable("characters outside of the default repertoire") from error


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unwritable(f"{_kind(value)} found, text expected")
    return value


def _joined(texts: list[str], encoding: str) -> bytes:
    """Join values with backslashes, which none of them may hold (PS3.5 §6.1.2.3)."""
    if any("\\" in text for text in texts):
        raise Unwritable("a backslash within a value")
    return _bytes("\\".join(texts), encoding)


def _texts(encoding: str) -> Encoder:
    return lambda values: _joined([_text(value) for value in values], encoding)


def _one_text(encoding: str) -> Encoder:
    def encode(values: list[Any]) -> bytes:
        if len(values) > 1:
            raise Unwritable(f"{len(values)} values found, one expected")
        return _bytes(_text(values[0]), encoding)

    return encode


def _person_names(values: list[Any]) -> bytes:
    return _joined([_person_name(value) for value in values], "utf-8")


def _person_name(value: object) -> str:
    """Return the component groups as one text (PS3.5 §6.2.1.1); a bare text, as some clients send it, is one."""
    if not isinstance(value, dict):
        return _text(value)
    if not set(value) <= set(GROUPS):
        raise Unwritable("unknown component group")
    return "=".join(_text(value.get(group)) for group in GROUPS).rstrip("=")


def _numeric_texts(vr: str) -> Encoder:
    def encode(values: list[Any]) -> bytes:
        return _joined([_numeric_text(value, MAX_CHARACTERS[vr]) for value in values], "latin-1")

    return encode


def _numeric_text(value: object, most: int) -> str:
    """Return a DS or IS; a number in as many of its digits as the VR has room for."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _text(value)
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 10**most
    text = f"{value:.0f}" if is_whole else str(value)
    for digits in range(most, 0, -1):
        if len(text) <= most:
            break
        text = f"{float(value):.{digits}g}"
    return text


def _numbers(code: str, parse: Callable[[str], float]) -> Encoder:
    def encode(values: list[Any]) -> bytes:
        if all(value is None for value in values):
            return b""
        numbers = [_number(value, parse) for value in values]
        try:
            return pack(f"<{len(numbers)}{code}", *numbers)
        except (StructError, OverflowError) as error:
            raise Unwritable("a number outside of the range of the VR") from error

    return encode


def _number(value: object, parse: Callable[[str], float]) -> float:
    """Return a number; as a text too, which JSON needs for those that it cannot hold (PS3.18 §F.2.3)."""
    if isinstance(value, str):
        try:
            return parse(value)
        except ValueError as error:
            raise Unwritable("text that is no number of the VR") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unwritable(f"{_kind(value)} found, number expected")
    if parse is float:
        return value
    if isinstance(value, float) and not (isfinite(value) and value.is_integer()):
        raise Unwritable("a fraction found, whole number expected")
    return int(value)


def _tags(values: list[Any]) -> bytes:
    texts = [_text(value) for value in values if value is not None]
    try:
        numbers = [int(text, 16) for text in texts if len(text) == len("ggggeeee")]
    except ValueError:
        numbers = []
    if len(numbers) != len(values) or any(number < 0 for number in numbers):
        raise Unwritable("text that is no tag of 8 hexadecimal digits")
    return b"".join(pack("<HH", number >> 16, number & 0xFFFF) for number in numbers)


ENCODERS: Mapping[str, Encoder] = {
    **{vr: _numbers(code, int) for vr, code in {"SL": "i", "SS": "h", "SV": "q"}.items()},
    **{vr: _numbers(code, int) for vr, code in {"UL": "I", "US": "H", "UV": "Q"}.items()},
    **{vr: _numbers(code, float) for vr, code in {"FL": "f", "FD": "d"}.items()},
    # The reader takes these for ISO 8859-1 whatever the character set, so they come back as they were sent.
    **{vr: _texts("latin-1") for vr in ("AE", "AS", "CS", "DA", "DT", "TM", "UI")},
    **{vr: _texts("utf-8") for vr in ("LO", "SH", "UC")},
    **{vr: _one_text("utf-8") for vr in ("LT", "ST", "UT")},
    "UR": _one_text("latin-1"),
    "PN": _person_names,
    "IS": _numeric_texts("IS"),
    "DS": _numeric_texts("DS"),
    "AT": _tags,
}
"""By VR: all that have a `Value` in JSON, but SQ."""

PADDING: Mapping[str, bytes] = dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UI", "UN"), b"\0")
"""By VR; what is not listed is padded with a blank."""
