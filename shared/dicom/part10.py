"""Part 10 files from data sets in DICOM JSON and bulk data: the one place that writes files (PS3.10 §7.1).

Explicit VR little endian, or a compressed transfer syntax when the pixel data comes in one; text is UTF-8.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import error as StructError  # noqa: N812 - as walk.py names it
from struct import pack
from typing import Any
from urllib.parse import unquote

from shared.dicom.elements import BINARY, LONG
from shared.dicom.encapsulation import ITEM, UNDEFINED, VIDEO, encapsulate
from shared.dicom.encoders import CHARACTER_SET_VRS, ENCODERS, PADDING, Unwritable, binary
from shared.dicom.limits import MAX_DEPTH
from shared.errors import UnreadableFile
from shared.model import Buffer

IMPLEMENTATION_CLASS_UID = "2.25.71043739333162847395692037432107183814"
"""Ours, made of a UUID (PS3.5 §B.2)."""
IMPLEMENTATION_VERSION_NAME = "DICOMWEB_FUNC_1"

_EXPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_NATIVE = frozenset({"1.2.840.10008.1.2", _EXPLICIT, "1.2.840.10008.1.2.1.99"})
"""Transfer syntaxes in which native pixel data is the same bytes (PS3.5 §A.1, §A.2, §A.5)."""
"""Transfer syntaxes whose frames share one stream (PS3.5 §8.2.5 to §8.2.9)."""

_SOP_CLASS, _SOP_INSTANCE = "00080016", "00080018"
_TRANSFER_SYNTAX, _AVAILABLE_TRANSFER_SYNTAX = "00020010", "00083002"
_CHARACTER_SET, _UTF_8 = "00080005", {"vr": "CS", "Value": ["ISO_IR 192"]}
_NUMBER_OF_FRAMES, _PIXEL_DATA = "00280008", "7FE00010"
_OFFSET_TABLES = frozenset({"7FE00001", "7FE00002"})
_META_VERSION = "AAE="
_TAG = re.compile(r"[0-9A-F]{8}")
_UID = re.compile(r"[0-9.]{1,64}")
_FRAME_COUNT = re.compile(r"[0-9]{1,9}")
_FORMS = ("Value", "InlineBinary", "BulkDataURI")
_CONTENT_ID = "cid:"
_LONGEST_SHORT_VALUE = 0xFFFE


@dataclass(frozen=True, slots=True)
class BulkData:
    """What answers to a BulkDataURI.

    Parameters
    ----------
    contents
        The value; of pixel data, its frames may come apart.
    transfer_syntaxes
        Those that pixel data with this content may be in, the one to assume first; empty: its origin says nothing.
    """

    contents: tuple[Buffer, ...]
    transfer_syntaxes: tuple[str, ...] = ()


def write_file(dataset: Mapping[str, Any], bulk: Mapping[str, BulkData]) -> list[Buffer]:
    """Return the pieces of the Part 10 file of a DICOM JSON object; bulk data is among them, not copied.

    Left out is what described another encoding: group lengths, elements of group 0002, Available Transfer Syntax
    UID of the data set itself and, where the pixel data is encapsulated anew, its extended offset table.

    Raises
    ------
    UnreadableFile
        An element cannot be written; the text names its tag and what is wrong, never its value.
    """
    elements = _by_tag(dataset)
    transfer_syntax = _transfer_syntax(elements, bulk)
    written = _Writer(bulk, transfer_syntax, _frames(elements)).dataset(elements)
    meta: Mapping[str, Any] = {
        "00020001": {"vr": "OB", "InlineBinary": _META_VERSION},
        "00020002": elements.get(_SOP_CLASS),
        "00020003": elements.get(_SOP_INSTANCE),
        _TRANSFER_SYNTAX: {"vr": "UI", "Value": [transfer_syntax]},
        "00020012": {"vr": "UI", "Value": [IMPLEMENTATION_CLASS_UID]},
        "00020013": {"vr": "SH", "Value": [IMPLEMENTATION_VERSION_NAME]},
    }
    writer = _Writer({}, transfer_syntax, 1)
    group = [piece for tag, one in meta.items() if one for piece in writer.element(tag, one, 0)]
    return [bytes(128) + b"DICM", pack("<HH2sHL", 2, 0, b"UL", 4, _size(group)), *group, *written]


def bulk_uri(element: Mapping[str, Any]) -> str | None:
    """Return an element's BulkDataURI; None when it has none.

    Without the list that some clients wrap it in (PS3.18 §F.4), and for a Content-ID without escapes (RFC 2392).
    """
    uri = element.get("BulkDataURI")
    if isinstance(uri, list) and len(uri) == 1:
        uri = uri[0]
    if not isinstance(uri, str):
        return None
    uri = uri.strip()
    return f"{_CONTENT_ID}{unquote(uri[4:])}" if uri[:4].lower() == _CONTENT_ID else uri


def _by_tag(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the elements in the order of their tags, as the standard wants them in a file (PS3.5 §7.1)."""
    elements: dict[str, Any] = {}
    for name, element in dataset.items():
        tag = name.upper()
        if not _TAG.fullmatch(tag) or not "00020000" <= tag < "FFFE0000" or tag in elements:
            raise UnreadableFile("an attribute's name is no tag of a data set, or is there twice")
        if not isinstance(element, dict):
            raise UnreadableFile("no object", tag)
        elements[tag] = element
    return dict(sorted(elements.items()))


def _transfer_syntax(elements: Mapping[str, Any], bulk: Mapping[str, BulkData]) -> str:
    """Return what the file will be in: what its pixel data is in, as its origin or else the data set says."""
    element = elements.get(_PIXEL_DATA)
    if element is None or not any(element.get(form) for form in _FORMS):
        return _EXPLICIT
    found = bulk.get(bulk_uri(element) or "")
    possible = found.transfer_syntaxes if found else ()
    stated = _first(elements, _TRANSFER_SYNTAX) or _first(elements, _AVAILABLE_TRANSFER_SYNTAX)
    if stated and not (isinstance(stated, str) and _UID.fullmatch(stated)):
        raise UnreadableFile("no UID", _TRANSFER_SYNTAX)
    if possible and stated not in possible:
        stated = possible[0]
        if stated == _BIG_ENDIAN:
            raise UnreadableFile("big endian", _PIXEL_DATA)
    # What was big endian once is little endian as bulk data, unless that says otherwise (PS3.18 §8.7.3.3).
    if not stated or stated == _BIG_ENDIAN or stated in _NATIVE:
        return _EXPLICIT
    return str(stated)


def _frames(elements: Mapping[str, Any]) -> int:
    found = str(_first(elements, _NUMBER_OF_FRAMES)).strip()
    return int(found) if _FRAME_COUNT.fullmatch(found) else 1


def _first(elements: Mapping[str, Any], tag: str) -> Any:
    values = elements.get(tag, {}).get("Value")
    value = values[0] if isinstance(values, list) and values else None
    return value.rstrip("\0 ") if isinstance(value, str) else value


class _Writer:
    """Writes the elements of one file."""

    def __init__(self, bulk: Mapping[str, BulkData], transfer_syntax: str, frames: int) -> None:
        self._bulk = bulk
        self._transfer_syntax = transfer_syntax
        self._frames = frames
        self._is_ascii = True

    def dataset(self, elements: Mapping[str, Any]) -> list[Buffer]:
        """Return the pieces of the data set itself; says that text is UTF-8 where it matters (PS3.3 §C.12.1.1.2)."""
        left_out = {_AVAILABLE_TRANSFER_SYNTAX}
        if self._transfer_syntax != _EXPLICIT:
            left_out |= _OFFSET_TABLES
        pieces = {
            tag: self.element(tag, element, 0)
            for tag, element in elements.items()
            if tag >= "00030000" and tag not in left_out and not tag.endswith("0000")
        }
        if not self._is_ascii or elements.get(_CHARACTER_SET, {}).get("Value"):
            pieces[_CHARACTER_SET] = self.element(_CHARACTER_SET, _UTF_8, 0)
        return [piece for tag in sorted(pieces) for piece in pieces[tag]]

    def element(self, tag: str, element: Mapping[str, Any], depth: int) -> list[Buffer]:
        """Return the head of an element, which *depth* sequences enclose, and the pieces of its value."""
        vr = element.get("vr")
        if not isinstance(vr, str) or not (vr in ENCODERS or vr in BINARY or vr == "SQ"):
            raise UnreadableFile("no vr, or one that is none", tag)
        try:
            if tag == _PIXEL_DATA and vr != "SQ" and (frames := self._encapsulated(element, depth)):
                return [_head(tag, "OB", UNDEFINED), *encapsulate(frames)]
            value = self._sequence(element, depth) if vr == "SQ" else self._value(tag, vr, element)
            length = _size(value)
            # PS3.5 §6.2.2: what is too long for a VR with a length of 16 bits is UN.
            return [_head(tag, "UN" if vr not in LONG and length > _LONGEST_SHORT_VALUE else vr, length), *value]
        except (Unwritable, StructError) as error:
            why = error if isinstance(error, Unwritable) else "too long"
            raise UnreadableFile(f"{vr}: {why}", tag) from error

    def _sequence(self, element: Mapping[str, Any], depth: int) -> list[Buffer]:
        """Return the items, of defined length (PS3.5 §7.5.1)."""
        items = element.get("Value") or []
        if not isinstance(items, list) or _form(element) not in {"", "Value"}:
            raise Unwritable("no array of items")
        if depth >= MAX_DEPTH:
            raise Unwritable(f"more than {MAX_DEPTH} sequences within each other")
        pieces: list[Buffer] = []
        for item in items:
            if not isinstance(item, dict | None):
                raise Unwritable("an item that is no object")
            value = [
                piece
                for tag, one in _by_tag(item or {}).items()
                if not tag.endswith("0000")
                for piece in self.element(tag, _UTF_8 if tag == _CHARACTER_SET else one, depth + 1)
            ]
            pieces += [ITEM + pack("<L", _size(value)), *value]
        return pieces

    def _value(self, tag: str, vr: str, element: Mapping[str, Any]) -> list[Buffer]:
        form = _form(element)
        if form == "Value":
            values = element["Value"]
            if vr in BINARY:
                raise Unwritable("Value found, InlineBinary or BulkDataURI expected")
            if not isinstance(values, list):
                raise Unwritable("no array of values")
            pieces: tuple[Buffer, ...] = (ENCODERS[vr](values),) if values else ()
        else:
            pieces = self._contents(element) if form else ()
            may_come_apart = tag == _PIXEL_DATA and len(pieces) == self._frames
            if len(pieces) > 1 and not may_come_apart:
                raise Unwritable(f"{len(pieces)} parts answer to its BulkDataURI")
        if vr in CHARACTER_SET_VRS:
            self._is_ascii = all([self._is_ascii, *(_is_ascii(piece) for piece in pieces)])
        return [*pieces, PADDING.get(vr, b" ")] if _size(pieces) % 2 else list(pieces)

    def _contents(self, element: Mapping[str, Any]) -> tuple[Buffer, ...]:
        if "InlineBinary" in element:
            return (binary(element["InlineBinary"]),)
        found = self._bulk.get(bulk_uri(element) or "")
        if found is None:
            raise Unwritable("no part answers to its BulkDataURI")
        return found.contents

    def _encapsulated(self, element: Mapping[str, Any], depth: int) -> tuple[Buffer, ...]:
        """Return the frames of compressed pixel data; none when it is native or empty."""
        form, syntax = _form(element), self._transfer_syntax
        if depth and form == "BulkDataURI":  # an icon (PS3.3 §C.7.6.1.1.6): only its own part tells how it is encoded
            found = self._bulk.get(bulk_uri(element) or "")
            possible = found.transfer_syntaxes if found else ()
            if syntax not in possible and possible and possible[0] not in _NATIVE:
                raise Unwritable("not in the transfer syntax of the data set")
            syntax = syntax if syntax in possible else _EXPLICIT
        if syntax == _EXPLICIT or form in {"", "Value"} or (depth and form != "BulkDataURI"):
            return ()
        contents = self._contents(element)
        frames = 1 if depth or (len(contents) == 1 and syntax in VIDEO) else self._frames
        if len(contents) != frames:
            raise Unwritable(f"{len(contents)} parts found, one for each of {frames} frames expected")
        return contents


def _form(element: Mapping[str, Any]) -> str:
    """Return which key holds the value; "" when none does."""
    forms = [form for form in _FORMS if element.get(form) is not None]
    if len(forms) > 1:
        raise Unwritable(f"{' and '.join(forms)} found, one of them expected")
    return forms[0] if forms else ""


def _head(tag: str, vr: str, length: int) -> bytes:
    group, element, code = int(tag[:4], 16), int(tag[4:], 16), vr.encode("ascii")
    return pack("<HH2sHL" if vr in LONG else "<HH2sH", group, element, code, *([0] if vr in LONG else []), length)


def _is_ascii(text: Buffer) -> bool:
    """Return whether text is ASCII; when it is not, it must be UTF-8."""
    content = bytes(text)
    try:
        return content.isascii() or not content.decode("utf-8")
    except UnicodeError as error:
        raise Unwritable("bulk data that is no UTF-8 text") from error


def _size(pieces: Sequence[Buffer]) -> int:
    return sum(map(len, pieces))
